/**
 * The measured server as a resizer. It uploads the originals before the measurement.
 */
import { read } from '../http.ts';
import { startVitrine } from '../vitrine.ts';
import { BROWSER_ACCEPT, type Job, type StartResizer } from './resizer.ts';

export const startVitrineResizer: StartResizer = async (folder, originals) => {
  const vitrine = await startVitrine({ parent: folder });
  const links = new Map<string, string>();
  for (const { name, bytes } of originals) links.set(name, (await vitrine.upload(bytes)).link);
  const urlOf = ({ original, width, height, quality }: Omit<Job, 'format'>) =>
    `${links.get(original.name)}?size=${width}x${height}${quality === undefined ? '' : `&quality=${quality}`}`;
  return {
    name: 'vitrine',
    render: ({ format, ...job }) => read(`${urlOf(job)}&format=${format}`),
    renderForBrowser: (job) => read(urlOf(job), { accept: BROWSER_ACCEPT }),
    stop: () => vitrine.stop(),
  };
};
