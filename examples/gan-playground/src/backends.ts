import { type BackendChoice, type BackendName, type TfjsBackend, tfjsBackends } from "./choices.ts";
import { prepareTfjs, startTfjs } from "./tfjs.ts";

/** Whether the optimizers are tfjs's own. */
export const isPlain = (name: BackendName): boolean => name.endsWith("-plain");

/** The backends that can be chosen on this device. */
export async function prepareBackends(): Promise<readonly BackendChoice[]> {
  const { lacks } = await prepareTfjs();
  return tfjsBackends.flatMap((backend) => {
    const missing = lacks[backend];
    return [
      { name: backend, label: `tfjs-${backend}, fused steps`, ...(missing && { missing }) },
      {
        name: `${backend}-plain` as const,
        label: `tfjs-${backend}, tf.train.adam`,
        ...(missing && { missing }),
      },
    ];
  });
}

export const startBackend = (name: BackendName): Promise<void> =>
  startTfjs(name.replace("-plain", "") as TfjsBackend);
