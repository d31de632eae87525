// For whoever takes plain data from outside (options, configurations, saved states): what it must look like, and the refusal.
export {
  aBoolean,
  aFinite,
  aFunction,
  aNumber,
  anything,
  aPositive,
  aString,
  aTensor,
  checkSchema,
  type Fields,
  integerFrom,
  isFinite32,
  isTensor,
  oneOf,
  type Schema,
  type Test,
} from "../schema.ts";
