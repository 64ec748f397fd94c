/**
 * Renders a plan from a local file. The bytes depend only on the original and the plan. So a plan with a rung
 * is always rendered from that rung.
 */
import { walkPicture } from '../formats/walk.ts';
import { rungFor } from '../ladder.ts';
import type { Rendition } from '../processor.ts';
import { makeRung } from './ingest.ts';
import type { Task } from './messages.ts';
import { readPicture, withoutWarnings } from './picture.ts';
import { render } from './render.ts';

/** @throws Refusal if the picture is the cause; the error of the file system. */
export async function renderFile({
  path,
  plan,
  original,
}: Extract<Task, { kind: 'render' }>): Promise<Rendition> {
  return withoutWarnings(await readPicture(path), async (picture) => {
    const rung = original && rungFor(plan, original);
    // The rung is missing, so it is made here and not stored. A picture without a ladder has none.
    const bytes = rung && (await makeRung(picture, original, rung));
    return render(bytes ? walkPicture(bytes) : picture, plan);
  });
}
