import { createRandom, type Random } from "@mm-examples/gan-digits/random";
import * as tf from "@tensorflow/tfjs-core";
import { inputOf, type Model } from "./model.ts";
import { prompt } from "./settings.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Below 1: what is likely becomes likelier. */
const temperature = 0.8;

/** Goes on from a prompt by `count` tokens, drawn one by one; the same seed draws alike. Waits for the device, for each token. */
export async function write(
  model: Model,
  tokenizer: Tokenizer,
  seed: number,
  count: number,
): Promise<string> {
  const random = createRandom(seed, "samples");
  const { context, vocabulary } = model.sizes;
  const tokens = [...tokenizer.encode(prompt)];
  for (let at = 0; at < count; at++) {
    const seen = tokens.slice(-context);
    const text = new Uint16Array(context);
    text.set(seen);
    const last = tf.tidy(() =>
      tf.slice(model.logits(inputOf(text, model.sizes)), [seen.length - 1, 0], [1, vocabulary]),
    );
    tokens.push(draw(await last.data<"float32">(), random));
    last.dispose();
  }
  return tokenizer.decode(tokens);
}

/** One of the tokens, as likely as the softmax of its logit ÷ temperature. */
function draw(logits: Float32Array, random: Random): number {
  const most = Math.max(...logits);
  const likely = Array.from(logits, (logit) => Math.exp((logit - most) / temperature));
  const total = likely.reduce((sum, part) => sum + part, 0);
  let left = (random.integer(2 ** 30) / 2 ** 30) * total;
  const found = likely.findIndex((part) => (left -= part) < 0);
  return found < 0 ? likely.length - 1 : found;
}
