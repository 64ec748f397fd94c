/**
 * `vitrine export`. Owns what is written for each image of an account, and how that is told. Refuses to know the layout of
 * what is written, and how pictures are got.
 */
import type { Image } from '@vitrine/client';
import type { Command } from 'commander';
import { isAppError } from '../../errors.ts';
import type { Surroundings } from '../admin/session.ts';
import { json } from '../terminal/output.ts';
import { Archive, type Entry } from './archive.ts';
import { type ClientOptions, clientCommand, connectAs } from './connection.ts';
import { Pictures } from './image-download.ts';
import { forEach, OnlyRenditions, PartlyDone, refusalOf, startProgress, withParallel } from './progress.ts';

interface Result {
  readonly imageID: string;
  readonly outcome: 'exported' | 'exported before' | 'failed';
  readonly kind?: Entry['kind'];
  readonly digest?: string;
  readonly error?: string;
}

export function addExportCommand(program: Command, surroundings: Surroundings): void {
  const command = clientCommand(
    program,
    'export',
    'copy the images of the account into a folder; again, only what is missing or has changed',
  ).argument('<folder>', 'where to; it is made if it is not there');
  withParallel(command).action(async (folder: string, options: ClientOptions & { parallel: number }) => {
    const connection = await connectAs(options, surroundings, { patient: true });
    const { vitrine, accountID, serverURL } = connection;
    const archive = await Archive.create(folder, { serverURL, accountID });
    const images: Image[] = [];
    for await (const image of vitrine.images.list({ accountID })) images.push(image);
    images.reverse();
    const pictures = new Pictures(connection);
    const progress = await startProgress(surroundings, images.length, 'images', options.json === true);
    const results = new Map<string, Result>();
    try {
      await forEach(images, options.parallel, async (image) => {
        const result = await exportImage(image, archive, pictures);
        results.set(image.imageID, result);
        progress.done(lineOf(result), result.outcome === 'failed');
      });
      await archive.close(images.map(({ imageID }) => imageID));
    } catch (error) {
      await archive.close();
      throw error;
    } finally {
      progress.end();
    }
    report([...results.values()], options, surroundings);
  });
}

async function exportImage(image: Image, archive: Archive, pictures: Pictures): Promise<Result> {
  const { imageID } = image;
  try {
    const known = archive.entryOf(image);
    // What was exported before may be a rendition, of a server that has learnt to give originals since.
    const better = known && known.kind !== 'original' ? await pictures.original(image) : undefined;
    if (known && !better && (await archive.holds(known))) {
      await archive.note(known);
      return { imageID, outcome: 'exported before', kind: known.kind, digest: known.digest };
    }
    const { kind, digest } = await archive.add(image, better ?? (await pictures.get(image)));
    return { imageID, outcome: 'exported', kind, digest };
  } catch (error) {
    return { imageID, outcome: 'failed', error: isAppError(error) ? error.message : await refusalOf(error) };
  }
}

function lineOf({ imageID, outcome, kind, error }: Result): string {
  return `${outcome}  ${imageID}  ${error ?? kind}`;
}

function report(results: readonly Result[], options: ClientOptions, { write }: Surroundings): void {
  const number = (outcome: Result['outcome']) => results.filter((one) => one.outcome === outcome).length;
  if (options.json) write(json(results));
  else
    write(
      `${number('exported')} exported, ${number('exported before')} exported before, ${number('failed')} failed\n`,
    );
  if (number('failed') > 0)
    throw new PartlyDone(`${number('failed')} of ${results.length} images were not exported`);
  OnlyRenditions.check(results);
}
