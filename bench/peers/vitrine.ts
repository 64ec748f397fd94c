/**
 * The server under measurement, as one of the resizers. Originals are uploaded before anything is measured.
 */
import { read } from '../http.ts';
import { startVitrine } from '../vitrine.ts';
import type { StartResizer } from './resizer.ts';

export const startVitrineResizer: StartResizer = async (folder, originals) => {
  const vitrine = await startVitrine({ parent: folder });
  const links = new Map<string, string>();
  for (const { name, bytes } of originals) links.set(name, (await vitrine.upload(bytes)).link);
  return {
    name: 'vitrine',
    render: ({ original, width, height, format, quality }) => {
      const suffix = quality === undefined ? '' : `&quality=${quality}`;
      return read(`${links.get(original.name)}?size=${width}x${height}&format=${format}${suffix}`);
    },
    stop: () => vitrine.stop(),
  };
};
