/**
 * One sharp call on the original as a peer. It runs in a child process (`sharp-script.ts`) without a server.
 */

import type { StartResizer } from './resizer.ts';
import { startScript } from './script.ts';

export const startSharp: StartResizer = async () => {
  const script = startScript('sharp-script.ts');
  return {
    name: 'one sharp call',
    async render({ original, width, height, format, quality }) {
      const bytes = await script.ask({ path: original.path, width, height, format, quality });
      if (!(bytes instanceof Uint8Array)) throw new Error('the script did not return bytes');
      return bytes;
    },
    stop: () => script.stop(),
  };
};
