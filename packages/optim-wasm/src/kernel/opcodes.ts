/**
 * Instructions by their names in the WebAssembly core specification (release 2.0, chapter 5.4), as constants that bundlers write into
 * the place of use. Vector instructions, which are 0xfd and a number, are 0x100 + that number here.
 */
export const block = 0x02;
export const loop = 0x03;
export const end = 0x0b;
export const brIf = 0x0d;
export const localGet = 0x20;
export const localSet = 0x21;
export const i32Const = 0x41;
export const i32LtU = 0x49;
export const i32GeU = 0x4f;
export const i32Add = 0x6a;
export const i32Sub = 0x6b;
export const i32And = 0x71;
export const i32Shl = 0x74;
export const f64Add = 0xa0;
export const f64PromoteF32 = 0xbb;
export const f32ReinterpretI32 = 0xbe;

export const v128Load = 0x100;
export const v128Load32Splat = 0x109;
export const v128Store = 0x10b;
export const v128Const = 0x10c;
export const i8x16Shuffle = 0x10d;
export const f32x4Splat = 0x113;
export const i32x4ExtractLane = 0x11b;
export const f64x2ExtractLane = 0x121;
export const f32x4Eq = 0x141;
export const f32x4Lt = 0x143;
export const f32x4Gt = 0x144;
export const v128And = 0x14e;
export const v128Or = 0x150;
export const v128Bitselect = 0x152;
export const v128Store32Lane = 0x15a;
export const f64x2PromoteLowF32x4 = 0x15f;
export const i32x4MaxS = 0x1b8;
export const f32x4Abs = 0x1e0;
export const f32x4Neg = 0x1e1;
export const f32x4Sqrt = 0x1e3;
export const f32x4Add = 0x1e4;
export const f32x4Sub = 0x1e5;
export const f32x4Mul = 0x1e6;
export const f32x4Div = 0x1e7;
export const f32x4Min = 0x1e8;
export const f32x4Max = 0x1e9;
export const f32x4Pmin = 0x1ea;
export const f32x4Pmax = 0x1eb;
export const f64x2Abs = 0x1ec;
export const f64x2Add = 0x1f0;
export const f64x2Mul = 0x1f2;
