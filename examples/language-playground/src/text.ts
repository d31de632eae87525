import { type Text, textOf } from "@mm-examples/language-model/text";
import text from "../../language-model/data/moby-dick.txt?url";
import pieces from "../../language-model/data/pieces.txt?url";

/** The novel, as tokens. */
export async function fetchText(): Promise<Text> {
  const [whole, lines] = await Promise.all([text, pieces].map(read));
  return textOf(whole as string, lines as string);
}

async function read(file: string): Promise<string> {
  const response = await fetch(file);
  if (!response.ok) throw new Error(`The text could not be fetched: ${response.status}`);
  return response.text();
}
