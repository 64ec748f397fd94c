/**
 * `vitrine export`: copies the images of an account into a folder. A second run fetches only missing and
 * changed pictures.
 */
import type { Image } from '@vitrine/client';
import type { Command } from 'commander';
import { forEachConcurrently } from '../../concurrency/for-each-concurrently.ts';
import type { CommandContext } from '../terminal/context.ts';
import { PartialFailure } from '../terminal/exit-codes.ts';
import { formatJSON } from '../terminal/output.ts';
import { startProgress } from '../terminal/progress-bar.ts';
import { Archive, type ArchiveEntry } from './archive.ts';
import { addParallelOption, checkOriginals, messageOfItemFailure } from './batch.ts';
import { addClientCommand, type ClientOptions, connectProfile } from './connection.ts';
import { PictureDownloader } from './image-download.ts';

interface Result {
  readonly imageID: string;
  readonly outcome: 'exported' | 'exported before' | 'failed';
  readonly kind?: ArchiveEntry['kind'];
  readonly digest?: string;
  readonly error?: string;
}

export function addExportCommand(program: Command, context: CommandContext): void {
  const command = addClientCommand(
    program,
    'export',
    'copy the images of the account into a folder; a second run fetches only missing and changed pictures',
  ).argument('<folder>', 'path of the folder, which is created if it does not exist');
  addParallelOption(command).action(async (folder: string, options: ClientOptions & { parallel: number }) => {
    const connection = await connectProfile(options, context, { longRetries: true });
    const { vitrine, accountID, serverURL } = connection;
    const archive = await Archive.create(folder, { serverURL, accountID });
    const images: Image[] = [];
    for await (const image of vitrine.images.list({ accountID })) images.push(image);
    images.reverse();
    const downloader = new PictureDownloader(connection);
    const json = options.json === true;
    const progress = await startProgress(context, { what: 'images', total: images.length, json });
    const results = new Map<string, Result>();
    try {
      await forEachConcurrently(images, options.parallel, async (image) => {
        const result = await exportImage(image, archive, downloader);
        results.set(image.imageID, result);
        progress.reportItem(lineOf(result), result.outcome === 'failed');
      });
      await archive.close(images.map(({ imageID }) => imageID));
    } catch (error) {
      await archive.close();
      throw error;
    } finally {
      progress.end();
    }
    printResults([...results.values()], json, context);
  });
}

async function exportImage(image: Image, archive: Archive, downloader: PictureDownloader): Promise<Result> {
  const { imageID } = image;
  try {
    const entry = archive.entryOf(image);
    // The earlier export may have a rendition, and the server may give originals since then.
    const original =
      entry && entry.kind !== 'original' ? await downloader.downloadOriginal(image) : undefined;
    if (entry && !original && (await archive.hasIntactFile(entry))) {
      await archive.update(entry);
      return { imageID, outcome: 'exported before', kind: entry.kind, digest: entry.digest };
    }
    const picture = original ?? (await downloader.download(image));
    const { kind, digest } = await archive.add(image, picture);
    return { imageID, outcome: 'exported', kind, digest };
  } catch (error) {
    return { imageID, outcome: 'failed', error: await messageOfItemFailure(error) };
  }
}

function lineOf({ imageID, outcome, kind, error }: Result): string {
  return `${outcome}  ${imageID}  ${error ?? kind}`;
}

/** @throws PartialFailure, RenditionsOnly. */
function printResults(results: readonly Result[], json: boolean, { stdout }: CommandContext): void {
  const count = (outcome: Result['outcome']) => results.filter((result) => result.outcome === outcome).length;
  const failures = count('failed');
  const summary = `${count('exported')} exported, ${count('exported before')} exported before, ${failures} failed`;
  stdout(json ? formatJSON(results) : `${summary}\n`);
  if (failures > 0) throw new PartialFailure(`${failures} of ${results.length} images were not exported`);
  checkOriginals(results);
}
