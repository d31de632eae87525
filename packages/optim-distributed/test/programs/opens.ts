// node opens.mjs HOW: opens MPI in a way that is refused, and prints the error's code and message.
import { isOptimError } from "@mm/optim-core";
import { openMpi } from "@mm/optim-distributed/mpi";

const print = (text: string): void => void process.stdout.write(`${text}\n`);
const how = process.argv[2];
try {
  const communicator = openMpi(how === "option" ? ({ timeout: 1 } as never) : {});
  print(`opened ${communicator.rank} of ${communicator.size}`);
  if (how === "twice") openMpi();
  if (how === "closed") {
    communicator.close();
    communicator.close();
    communicator.allReduceSync(new Float32Array(1));
  }
} catch (error) {
  print(isOptimError(error) ? `${error.code}: ${error.message}` : String(error));
}
