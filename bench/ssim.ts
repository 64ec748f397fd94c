/**
 * The structural similarity (SSIM) of two pictures on luma, after Wang, Bovik, Sheikh and Simoncelli (2004).
 */

const WINDOW = 8;
const C1 = (0.01 * 255) ** 2;
const C2 = (0.03 * 255) ** 2;

/** Converts interleaved 8-bit RGB to Rec. 601 luma, 0..255. */
export function luma(rgb: Uint8Array): Float64Array {
  const values = new Float64Array(rgb.length / 3);
  for (let index = 0; index < values.length; index += 1) {
    const at = index * 3;
    values[index] = 0.299 * (rgb[at] ?? 0) + 0.587 * (rgb[at + 1] ?? 0) + 0.114 * (rgb[at + 2] ?? 0);
  }
  return values;
}

/**
 * The mean SSIM of two pictures of the same size: 1 if they are equal. The windows are 8x8, four pixels
 * apart. Throws if a picture is smaller than a window or the sizes differ.
 */
export function ssim(a: Float64Array, b: Float64Array, width: number): number {
  const height = a.length / width;
  if (a.length !== b.length || width < WINDOW || height < WINDOW)
    throw new Error(`the pictures must have the same size, at least ${WINDOW}x${WINDOW}`);
  let sum = 0;
  let count = 0;
  for (let top = 0; top + WINDOW <= height; top += WINDOW / 2) {
    for (let left = 0; left + WINDOW <= width; left += WINDOW / 2) {
      sum += windowSimilarity(a, b, width, top * width + left);
      count += 1;
    }
  }
  return sum / count;
}

function windowSimilarity(a: Float64Array, b: Float64Array, width: number, start: number): number {
  const size = WINDOW * WINDOW;
  let sumA = 0;
  let sumB = 0;
  let squaresA = 0;
  let squaresB = 0;
  let products = 0;
  for (let y = 0; y < WINDOW; y += 1) {
    for (let x = 0; x < WINDOW; x += 1) {
      const at = start + y * width + x;
      const valueA = a[at] ?? 0;
      const valueB = b[at] ?? 0;
      sumA += valueA;
      sumB += valueB;
      squaresA += valueA * valueA;
      squaresB += valueB * valueB;
      products += valueA * valueB;
    }
  }
  const meanA = sumA / size;
  const meanB = sumB / size;
  const varianceA = squaresA / size - meanA * meanA;
  const varianceB = squaresB / size - meanB * meanB;
  const covariance = products / size - meanA * meanB;
  return (
    ((2 * meanA * meanB + C1) * (2 * covariance + C2)) /
    ((meanA * meanA + meanB * meanB + C1) * (varianceA + varianceB + C2))
  );
}
