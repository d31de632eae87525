import type { BackendWasm } from "@tensorflow/tfjs-backend-wasm";
import { slice_util, type SliceAttrs, type TensorInfo, util } from "@tensorflow/tfjs-core";
import { elementsOf } from "./heap.ts";

/** A slice of float32 that lies together: one copy on the heap. The kernel of tfjs reads the whole tensor back for it. */
export function slice(
  backend: BackendWasm,
  { x }: { readonly x: TensorInfo },
  attributes: SliceAttrs,
): TensorInfo | undefined {
  if (x.dtype !== "float32") return undefined;
  const [begin, size] = slice_util.parseSliceParams(x, attributes.begin, attributes.size) as [
    number[],
    number[],
  ];
  slice_util.assertParamsValid(x, begin, size);
  if (!slice_util.isSliceContinous(x.shape, begin, size)) return undefined;
  const from = slice_util.computeFlatOffset(begin, util.computeStrides(x.shape));
  const result = backend.makeOutput(size, "float32");
  elementsOf(backend, result).set(elementsOf(backend, x).subarray(from, from + util.sizeFromShape(size)));
  return result;
}
