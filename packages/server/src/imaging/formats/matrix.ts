/**
 * Linear light and its primaries: the arithmetic behind colour profiles.
 */

/** The place of a colour in CIE 1931: x and y. */
export type Chromaticity = readonly [x: number, y: number];

export interface Primaries {
  readonly white: Chromaticity;
  readonly red: Chromaticity;
  readonly green: Chromaticity;
  readonly blue: Chromaticity;
}

/** Three values: red, green and blue, or X, Y and Z. */
export type Triple = readonly [number, number, number];

/** Three rows. */
export type Matrix = readonly [Triple, Triple, Triple];

/** The white of the profile connection space. */
export const D50: Triple = [0.9642, 1, 0.8249];

/** The primaries of sRGB. */
export const SRGB_PRIMARIES: Primaries = {
  white: [0.3127, 0.329],
  red: [0.64, 0.33],
  green: [0.3, 0.6],
  blue: [0.15, 0.06],
};

/** From XYZ to the answers of the cones of the eye, in which a white is adapted. */
const BRADFORD: Matrix = [
  [0.8951, 0.2664, -0.1614],
  [-0.7502, 1.7135, 0.0367],
  [0.0389, -0.0685, 1.0296],
];

/**
 * From linear light of these primaries to XYZ, with their white adapted to D50. Undefined if there is no such
 * matrix.
 */
export function matrixToXyz({ white, red, green, blue }: Primaries): Matrix | undefined {
  const all = [white, red, green, blue].flat();
  if (all.some((value) => value < 0 || value > 1) || white[1] === 0) return undefined;
  const columns = transpose([depthOf(red), depthOf(green), depthOf(blue)]);
  const inverse = invert(columns);
  if (inverse === undefined) return undefined;
  const whiteXyz = scale(depthOf(white), 1 / white[1]);
  const amounts = apply(inverse, whiteXyz);
  const unadapted = multiply(columns, diagonal(amounts));
  const cones = apply(BRADFORD, whiteXyz);
  const target = apply(BRADFORD, D50);
  const back = invert(BRADFORD);
  if (back === undefined || cones.some((value) => value === 0)) return undefined;
  const gains: Triple = [target[0] / cones[0], target[1] / cones[1], target[2] / cones[2]];
  const matrix = multiply(multiply(back, multiply(diagonal(gains), BRADFORD)), unadapted);
  return matrix.flat().every((value) => Math.abs(value) < 4) ? matrix : undefined;
}

function depthOf([x, y]: Chromaticity): Triple {
  return [x, y, 1 - x - y];
}

function scale([a, b, c]: Triple, factor: number): Triple {
  return [a * factor, b * factor, c * factor];
}

function diagonal([a, b, c]: Triple): Matrix {
  return [
    [a, 0, 0],
    [0, b, 0],
    [0, 0, c],
  ];
}

function transpose([a, b, c]: Matrix): Matrix {
  return [
    [a[0], b[0], c[0]],
    [a[1], b[1], c[1]],
    [a[2], b[2], c[2]],
  ];
}

/** The product of the matrix and the column. */
export function apply([a, b, c]: Matrix, [x, y, z]: Triple): Triple {
  return [a[0] * x + a[1] * y + a[2] * z, b[0] * x + b[1] * y + b[2] * z, c[0] * x + c[1] * y + c[2] * z];
}

export function multiply(left: Matrix, right: Matrix): Matrix {
  const [a, b, c] = transpose(right);
  return transpose([apply(left, a), apply(left, b), apply(left, c)]);
}

export function invert([[a, b, c], [d, e, f], [g, h, i]]: Matrix): Matrix | undefined {
  const determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  if (Math.abs(determinant) < 1e-9) return undefined;
  return [
    scale([e * i - f * h, c * h - b * i, b * f - c * e], 1 / determinant),
    scale([f * g - d * i, a * i - c * g, c * d - a * f], 1 / determinant),
    scale([d * h - e * g, b * g - a * h, a * e - b * d], 1 / determinant),
  ];
}
