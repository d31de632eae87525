import type { Program, ScalarInstruction } from "@mm/optim-core/backend";
import { literal } from "./functions.ts";

/** Scalars in GLSL. `1 − βᵗ` is −expm1(−u), u = −t·ln β: below ½ by its series, since there 1 − exp(−u) cancels. */
export const scalarFunctions = `
float correction(float logBeta, float t) {
  float u = -t * logBeta;
  float series = u * (1.0 + u * (-1.0 / 2.0 + u * (1.0 / 6.0 + u * (-1.0 / 24.0 + u * (1.0 / 120.0
    + u * (-1.0 / 720.0 + u * (1.0 / 5040.0 + u * (-1.0 / 40320.0))))))));
  return u < 0.5 ? series : 1.0 - exp(-u);
}
float power(float a, float b) {
  return b == 0.0 ? 1.0 : a == 0.0 ? 0.0 : exp(b * log(a));
}
`;

/** A number that the host sets for a row: the register's value, or its logarithm. */
export interface HostScalar {
  readonly register: number;
  readonly of: "value" | "log";
}

/** The scalar part of a program in GLSL, as far as it depends on the step; the rest comes from the host. */
export interface ScalarCode {
  /** Statements that leave register i in `ri`. They read `count` (this step included), `state[i]` and `host[i]`. */
  readonly statements: readonly string[];
  readonly host: readonly HostScalar[];
  /** GLSL of a register. */
  register(index: number): string;
}

export function scalarCode({ scalars, scalarSlots }: Program): ScalarCode {
  const host: HostScalar[] = [];
  const fromHost = (register: number, of: HostScalar["of"] = "value"): string => {
    let index = host.findIndex((scalar) => scalar.register === register && scalar.of === of);
    if (index < 0) index = host.push({ register, of }) - 1;
    return `host[${Math.floor(index / 4)}].${"xyzw"[index % 4]}`;
  };
  const register = (index: number): string => {
    const instruction = scalars[index] as ScalarInstruction;
    if (instruction.dynamic) return `r${index}`;
    return instruction.op === "const" ? literal(instruction.value) : fromHost(index);
  };
  /** ln of a register, by the host where it knows it: −1e30 for that of 0, whose powers are 0 all the same. */
  const logarithm = (index: number): string =>
    (scalars[index] as ScalarInstruction).dynamic ? `log(r${index})` : fromHost(index, "log");
  const statements = scalars.flatMap((instruction, index) =>
    instruction.dynamic
      ? [`float r${index} = ${expression(instruction, { register, logarithm, scalarSlots })};`]
      : [],
  );
  return { statements, host, register };
}

interface Operands {
  register(index: number): string;
  logarithm(index: number): string;
  readonly scalarSlots: readonly string[];
}

function expression(instruction: ScalarInstruction, { register, logarithm, scalarSlots }: Operands): string {
  switch (instruction.op) {
    case "step":
      return "count";
    case "scalarSlot":
      return `state${scalarSlots.indexOf(instruction.name)}`;
    case "const":
    case "hyper":
    case "size":
    case "rows":
    case "cols":
    case "reduced":
    case "total":
      throw new Error(`${instruction.op} does not depend on the step`);
    default:
  }
  const a = register(instruction.a);
  switch (instruction.op) {
    case "neg":
      return `-(${a})`;
    case "sqrt":
    case "abs":
    case "exp":
    case "log":
      return `${instruction.op}(${a})`;
    case "sign":
      return `signOf(vec4(${a})).x`;
    case "select":
      return `${register(instruction.condition)} == 1.0 ? ${a} : ${register(instruction.b)}`;
    default:
  }
  const b = register(instruction.b);
  switch (instruction.op) {
    case "add":
      return `${a} + ${b}`;
    case "sub":
      return `${a} - ${b}`;
    case "mul":
      return `${a} * ${b}`;
    case "div":
      return `${a} / ${b}`;
    case "min":
      return `smaller(vec4(${a}), vec4(${b})).x`;
    case "max":
      return `larger(vec4(${a}), vec4(${b})).x`;
    case "gt":
      return `${a} > ${b} ? 1.0 : 0.0`;
    case "lt":
      return `${a} < ${b} ? 1.0 : 0.0`;
    case "eq":
      return `${a} == ${b} ? 1.0 : 0.0`;
    case "pow":
      return power(logarithm(instruction.a), a, b);
    default:
      return `correction(${logarithm(instruction.a)}, ${b})`;
  }
}

/** A base that the host knows is raised by its logarithm, which the host takes in float64. */
function power(log: string, base: string, exponent: string): string {
  return log.startsWith("log(") ? `power(${base}, ${exponent})` : `exp(${exponent} * ${log})`;
}

/** The values that the host sets for {@link HostScalar}, from the registers that it computed. */
export function hostScalar({ register, of }: HostScalar, registers: Float64Array): number {
  const value = registers[register] as number;
  return of === "log" ? Math.max(Math.log(value), -1e30) : value;
}
