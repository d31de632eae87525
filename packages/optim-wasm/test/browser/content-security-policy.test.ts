import { expect, test } from "vitest";
import { type Trajectory, trajectory } from "./trajectory.ts";

/** The same in a document that may not compile WebAssembly. */
function trajectoryUnderPolicy(policy: string): Promise<Trajectory> {
  const module = new URL("./trajectory.ts", import.meta.url).href;
  const frame = document.createElement("iframe");
  frame.srcdoc = `<!doctype html>
    <meta http-equiv="Content-Security-Policy" content="${policy}">
    <script type="module">
      import { trajectory } from "${module}";
      parent.postMessage(trajectory(), "*");
    </script>`;
  return new Promise((resolve) => {
    const listen = (event: MessageEvent<Trajectory>): void => {
      if (event.source !== frame.contentWindow) return;
      removeEventListener("message", listen);
      frame.remove();
      resolve(event.data);
    };
    addEventListener("message", listen);
    document.body.append(frame);
  });
}

test("a policy without wasm-unsafe-eval: evaluated, with the same results to the bit", async () => {
  const here = trajectory();
  expect(here.compiled).toBe(true);
  expect(here.arena).toEqual(here.own);

  const scripts = `script-src ${location.origin} 'unsafe-inline'`;
  expect(await trajectoryUnderPolicy(scripts)).toEqual({ ...here, compiled: false });
  expect(await trajectoryUnderPolicy(`${scripts} 'wasm-unsafe-eval'`)).toEqual(here);
});
