import { refuse } from "@mm/optim-core/backend";
import { compileGlob } from "./glob.ts";
import type { ModelParameter, ParameterKind } from "./model/model-kind.ts";

/**
 * Which parameters are meant. A string is a glob; of an object all fields have to hold; of a list one of its matchers.
 *
 * Names consist of parts between `.` or `/`: `backbone.0.weight`.
 */
export type Matcher = string | MatcherFields | readonly (string | MatcherFields)[];

export interface MatcherFields {
  /** The whole name. */
  readonly exact?: string;
  /** The first parts of the name, whole: `backbone` is a prefix of `backbone.0.weight`, not of `backbone2.weight`. */
  readonly prefix?: string;
  /** `*`: anything within a part, `**`: anything, `?`: one character within a part. The whole name has to fit. */
  readonly glob?: string;
  /**
   * A JavaScript regular expression with the flag `u`. It may fit anywhere: `^` and `$` tie it to the ends. Unlike a glob it may take very long,
   * as expressions do.
   */
  readonly regex?: string;
  /** A piece of the name, wherever it is. */
  readonly contains?: string;
  /** The kind that its layer gives it; see {@link ParameterKind}. */
  readonly kind?: ParameterKind;
}

export interface CompiledMatcher {
  /** For names of groups and explanations. */
  readonly text: string;
  /** Whether it asks for a name, so that matching nothing is a mistake. */
  readonly names: boolean;
  readonly kinds: readonly ParameterKind[];
  /** The text that the first group of its regular expression captures, where it has one. A list of matchers has none. */
  readonly captures?: ((parameter: MatchedParameter) => string | undefined) | undefined;
  readonly matches: (parameter: MatchedParameter) => boolean;
}

/** One place of a parameter in the model. One that is shared has several, under different names. */
type MatchedParameter = Pick<ModelParameter, "name" | "kinds">;

/** @throws OptimError `invalid-option` for a regular expression that is none */
export function compileMatcher(matcher: Matcher, path: string): CompiledMatcher {
  if (Array.isArray(matcher)) {
    const parts = (matcher as readonly (string | MatcherFields)[]).map((part, index) =>
      compileMatcher(part, `${path}[${index}]`),
    );
    return {
      text: parts.map(({ text }) => text).join(" or "),
      names: parts.every(({ names }) => names),
      kinds: parts.flatMap(({ kinds }) => kinds),
      matches: (parameter) => parts.some(({ matches }) => matches(parameter)),
    };
  }
  if (typeof matcher === "string") return { ...compileFields({ glob: matcher }, path), text: matcher };
  return compileFields(matcher as MatcherFields, path);
}

function compileFields(fields: MatcherFields, path: string): CompiledMatcher {
  const { exact, prefix, glob, regex, contains, kind } = fields;
  const pattern = regex === undefined ? undefined : expression(regex, `${path}.regex`);
  const shape = glob === undefined ? undefined : compileGlob(glob);
  return {
    text: Object.entries(fields)
      .map(([field, value]) => (field === "kind" ? String(value) : `${field} ${String(value)}`))
      .join(" and "),
    names: Object.keys(fields).some((field) => field !== "kind"),
    kinds: kind === undefined ? [] : [kind],
    captures: pattern && countGroups(pattern) > 0 ? ({ name }) => pattern.exec(name)?.[1] : undefined,
    matches: ({ name, kinds }) =>
      (exact === undefined || name === exact) &&
      (prefix === undefined || (name.startsWith(prefix) && /^([./]|$)/u.test(name.slice(prefix.length)))) &&
      (shape === undefined || shape(name)) &&
      (pattern === undefined || pattern.test(name)) &&
      (contains === undefined || name.includes(contains)) &&
      (kind === undefined || kinds.includes(kind)),
  };
}

/** An alternative of nothing lets it match anything, and the match has a place for each group. */
const countGroups = (pattern: RegExp): number =>
  (new RegExp(`${pattern.source}|`, "u").exec("") as RegExpExecArray).length - 1;

function expression(source: string, path: string): RegExp {
  try {
    return new RegExp(source, "u");
  } catch (cause) {
    return refuse("invalid-option", path, "a JavaScript regular expression", source, { cause });
  }
}
