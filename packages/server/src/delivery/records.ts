/**
 * The records of delivery: the port that serves public links.
 */
import type { Image } from '../image.ts';

export interface PublicImageRecords {
  /** The image behind a public link, of any account, disabled or not. */
  findPublicImage(publicID: string): Promise<Image | undefined>;
}
