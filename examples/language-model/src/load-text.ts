import { readFileSync } from "node:fs";
import { type Text, textOf } from "./text.ts";

export const textFile = /* @__PURE__ */ new URL("../data/moby-dick.txt", import.meta.url);
export const piecesFile = /* @__PURE__ */ new URL("../data/pieces.txt", import.meta.url);

export const loadText = (): Text => textOf(readFileSync(textFile, "utf8"), readFileSync(piecesFile, "utf8"));
