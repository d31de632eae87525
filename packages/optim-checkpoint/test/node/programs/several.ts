// node several.mjs FOLDER ID SAVES KEEP: saves so many checkpoints, as one of several processes that do so in one folder at once. The names
// go to stdout as JSON.
import { openCheckpoints } from "@mm/optim-checkpoint/node";

const [folder = "", id = "", saves = "", keep = ""] = process.argv.slice(2);
const checkpoints = openCheckpoints(folder, { keep: Number(keep) });
const names: string[] = [];
for (let n = 0; n < Number(saves); n += 1) {
  names.push(await checkpoints.save({ extra: { id, n }, tensors: { w: new Float32Array(1000).fill(n) } }));
}
process.stdout.write(JSON.stringify(names));
