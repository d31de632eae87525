import { numpy as np } from "@jax-js/jax";
import { refuse } from "@mm/optim-core/backend";
import { bufferOf, copyOf } from "./arrays.ts";

const known = /* @__PURE__ */ new WeakSet<GPUDevice>();

// STORAGE | COPY_SRC | COPY_DST
const usage = 0x0080 | 0x0004 | 0x0008;

/**
 * Looks, once for each device, whether an array stays in one buffer of its own, which commands may write into. jax-js promises its users only that they can
 * read it.
 *
 * @throws OptimError `unsupported`
 */
export function requireOwnBuffers(device: GPUDevice): void {
  if (known.has(device)) return;
  const first = np.zeros([3], { dtype: np.float32, device: "webgpu" });
  const buffer = bufferOf(first);
  const second = copyOf(buffer, [3], device);
  const isOwn =
    buffer.size === 12 &&
    (buffer.usage & usage) === usage &&
    bufferOf(first) === buffer &&
    bufferOf(second) !== buffer &&
    first.refCount === 1;
  first.dispose();
  second.dispose();
  if (!isOwn) {
    refuse(
      "unsupported",
      "Variable",
      "arrays of jax-js on webgpu that stay in buffers of their own",
      "others",
      { hint: "Install a version of @jax-js/jax in the range of this package's peer dependency" },
    );
  }
  known.add(device);
}
