import type { NativeLibrary } from "./native.ts";

/** A handle of MPI: an address (Open MPI) or an integer (MPICH). */
export type Handle = unknown;

/** An array of one handle, which MPI writes to. */
export type HandleCell = BigInt64Array | Int32Array;

/** The differences between the two binary interfaces that MPI libraries have. */
export interface Abi {
  /** The C type of handles. */
  readonly type: "void *" | "int";
  readonly cell: () => HandleCell;
  /** `MPI_IN_PLACE` */
  readonly inPlace: bigint;
  /** `MPI_STATUS_IGNORE` */
  readonly ignoreStatus: bigint;
  /** `MPI_ERR_TRUNCATE`: a message was longer than the buffer of its receiver. */
  readonly truncate: number;
  readonly handles: (library: NativeLibrary) => Handles;
}

export interface Handles {
  readonly world: Handle;
  readonly float: Handle;
  readonly int: Handle;
  readonly byte: Handle;
  readonly sum: Handle;
  readonly errorsReturn: Handle;
}

/** Handles are the addresses of objects that the library exports. */
const openMpiAbi: Abi = {
  type: "void *",
  cell: () => new BigInt64Array(1),
  inPlace: 1n,
  ignoreStatus: 0n,
  truncate: 15,
  handles: (library) => {
    const symbol = (name: string): unknown => library.symbol(`ompi_mpi_${name}`);
    return {
      world: symbol("comm_world"),
      float: symbol("float"),
      int: symbol("int32_t"),
      byte: symbol("byte"),
      sum: symbol("op_sum"),
      errorsReturn: symbol("errors_return"),
    };
  },
};

/** Handles are the constants of MPICH's mpi.h, which its descendants keep (the MPICH ABI Compatibility Initiative). */
const mpichAbi: Abi = {
  type: "int",
  cell: () => new Int32Array(1),
  inPlace: -1n,
  ignoreStatus: 1n,
  truncate: 14,
  handles: () => ({
    world: 0x44000000,
    float: 0x4c00040a,
    int: 0x4c000405,
    byte: 0x4c00010d,
    sum: 0x58000003,
    errorsReturn: 0x54000001,
  }),
};

/** The interface of a library, by what `MPI_Get_library_version` says; `undefined` for one that is not known. */
export function abiOf(version: string): Abi | undefined {
  if (version.startsWith("Open MPI")) return openMpiAbi;
  return /MPICH|MVAPICH|Intel\(R\) MPI/.test(version) ? mpichAbi : undefined;
}
