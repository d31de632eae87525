// The growth of a user's bundle, minified and gzipped. kB = 1000 bytes. Each entry takes only the names it lists:
// that the rest is dropped is part of what is measured.
const limit = (name, size, imports, ignore = []) => ({
  name,
  limit: size,
  gzip: true,
  import: Object.fromEntries(
    Object.entries(imports).map(([entry, names]) => {
      const [folder, subpath = "."] = entry.split("/");
      return [`packages/${folder}/dist/${subpath}/index.js`, `{ ${names} }`];
    }),
  ),
  ignore,
});

/** A program as people ship it: a loop with a dict, one backend and AdamW. */
const shipped = (name, size, backend, ignore) =>
  limit(
    `${name}: loop + dict + backend + AdamW`,
    size,
    {
      "optim-core": "createOptimWrapper",
      "optim-dict": "OptimWrapperDict",
      "optim-rules": "adamw",
      ...backend,
    },
    ignore,
  );
const tfjs = ["@tensorflow/tfjs-core"];
const jax = ["@jax-js/jax"];

// The limits are what was measured, so that nothing grows unseen. docs/decisions/0004 says what they are made of.
export default [
  shipped("wasm", "37.7 kB", { "optim-wasm": "wasmOptimizer" }),
  shipped("tfjs, peers not counted", "62.1 kB", { "optim-tfjs": "tfjsOptimizer" }, tfjs),
  shipped("webgpu", "60 kB", { "optim-webgpu": "webgpuOptimizer" }),
  shipped(
    "webgpu on tfjs variables, peers not counted",
    "97.5 kB",
    { "optim-webgpu/tfjs": "tfjsOptimizer" },
    tfjs,
  ),
  shipped("jax-js, peers not counted", "72.7 kB", { "optim-jax": "jaxOptimizer, Variable, jitLoss" }, jax),
  limit("schedules: a scheduler with a warm-up and a cosine", "6.4 kB", {
    "optim-schedule": "createScheduler, linear, cosine",
  }),
  limit("configurations: one wrapper with its scheduler", "17.6 kB", {
    "optim-config": "buildOptimWrapper, buildScheduler",
  }),
  limit("a training loop: createRun, core not counted", "5.7 kB", { "optim-train": "createRun" }, ["@mm/*"]),
  limit("several machines: distributed, what it starts from and what it checks", "4.9 kB", {
    "optim-distributed": "distributed, broadcastState, checkReplicas, shardOf",
  }),
];
