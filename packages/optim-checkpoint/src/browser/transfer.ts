import type { SafetensorsFile } from "../encode.ts";

/** Has the browser save a file among the downloads of the person who looks at the page. */
export function download(file: SafetensorsFile, name: string): void {
  const url = URL.createObjectURL(file.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The click has begun the download only when it was handled.
  setTimeout(() => URL.revokeObjectURL(url), 0);
}

/**
 * Asks the person who looks at the page for a file, for `decodeCheckpoint`. `undefined` when none was chosen. Call it from a click: browsers
 * show no dialog by themselves.
 */
export function upload(): Promise<File | undefined> {
  const input = document.createElement("input");
  input.type = "file";
  input.accept = ".safetensors";
  return new Promise((resolve) => {
    input.addEventListener("change", () => resolve(input.files?.[0]));
    input.addEventListener("cancel", () => resolve(undefined));
    input.click();
  });
}
