// Writes what is committed below data: the text, and the pieces of the tokenizer, a JSON string a line.
import { writeFileSync } from "node:fs";
import { mobyDick } from "./moby-dick.ts";
import { piecesFile, textFile } from "./load-text.ts";
import { learnPieces } from "./tokenizer.ts";

const text = mobyDick();
writeFileSync(textFile, text);
writeFileSync(
  piecesFile,
  learnPieces(text, 512)
    .map((piece) => `${JSON.stringify(piece)}\n`)
    .join(""),
);
