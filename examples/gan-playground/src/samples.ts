import type { Samples } from "./protocol.ts";

const side = 14;

/** Draws images side by side, ink on paper, one canvas pixel for each of theirs. */
export function drawSamples(canvas: HTMLCanvasElement, { images, columns }: Samples): void {
  const count = images.length / (side * side);
  canvas.width = columns * side;
  canvas.height = (count / columns) * side;
  const context = canvas.getContext("2d");
  if (context === null) return;
  const picture = context.createImageData(canvas.width, canvas.height);
  for (let image = 0; image < count; image += 1) {
    const left = (image % columns) * side;
    const top = Math.floor(image / columns) * side;
    for (let pixel = 0; pixel < side * side; pixel += 1) {
      const [x, y] = [left + (pixel % side), top + Math.floor(pixel / side)];
      const paper = 255 * (1 - (images[image * side * side + pixel] as number));
      picture.data.set([paper, paper, paper, 255], 4 * (y * canvas.width + x));
    }
  }
  context.putImageData(picture, 0, 0);
}
