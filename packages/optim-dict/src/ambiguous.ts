/**
 * No value has this type: it is the message that TypeScript prints where a dict is called like a wrapper, because a dict cannot know
 * which of its wrappers is meant.
 */
export type CallOneWrapper<Method extends string> = `call one wrapper: optim.get(name).${Method}(…)`;
