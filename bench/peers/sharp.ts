/**
 * One sharp call on the original, in a script of its own: no server around it, and the bytes are handed over as they
 * are. The script is `sharp-script.ts` beside this file.
 */

import type { StartResizer } from './resizer.ts';
import { startScript } from './script.ts';

export const startSharp: StartResizer = async () => {
  const script = startScript('sharp-script.ts');
  return {
    name: 'one sharp call',
    async render({ original, width, height, format, quality }) {
      const made = await script.ask({ path: original.path, width, height, format, quality });
      if (!(made instanceof Uint8Array)) throw new Error('the script gave no bytes');
      return made;
    },
    stop: () => script.stop(),
  };
};
