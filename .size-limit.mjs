// What a user's bundle grows by, minified and gzipped. kB = 1000 bytes. Each entry takes only the names it lists:
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

export default [
  limit("a training loop: core + dict", "3 kB", {
    "optim-core": "createOptimWrapper",
    "optim-dict": "OptimWrapperDict",
  }),
  limit("schedules: a scheduler with a warm-up and a cosine", "4.2 kB", {
    "optim-schedule": "createScheduler, linear, cosine",
  }),
  limit("configurations: one wrapper with its scheduler", "11.5 kB", {
    "optim-config": "buildOptimWrapper, buildScheduler",
  }),
  // Above the 8 kB that were wanted: docs/decisions/0003 says why. The limits keep them from growing unseen.
  limit("wasm backend + one rule", "17.2 kB", { "optim-wasm": "wasmOptimizer", "optim-rules": "sgd" }),
  limit(
    "tfjs backend + one rule, peers not counted",
    "24 kB",
    { "optim-tfjs": "tfjsOptimizer", "optim-rules": "sgd" },
    ["@tensorflow/tfjs-core"],
  ),
  // docs/decisions/0031 says why.
  limit(
    "webgpu backend on tfjs variables + one rule, peers not counted",
    "45 kB",
    { "optim-webgpu/tfjs": "tfjsOptimizer", "optim-rules": "sgd" },
    ["@tensorflow/tfjs-core"],
  ),
  limit("webgpu backend + one rule", "32 kB", { "optim-webgpu": "webgpuOptimizer", "optim-rules": "sgd" }),
];
