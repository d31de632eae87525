export { jsonLinesFile, type MetricsFile, type MetricsLine } from "./json-lines-file.ts";
export { progressLines } from "./progress-lines.ts";
export { stopSignal } from "./stop-signal.ts";
