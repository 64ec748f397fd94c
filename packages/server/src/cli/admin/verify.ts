/**
 * `vitrine verify`. Owns the words of the command, and how what it finds is printed: as it comes, so that however much is
 * wrong, none of it is kept. What is looked at is the service's.
 */
import type { Command } from 'commander';
import type { Finding } from '../../maintenance/verify.ts';
import { interruptible } from '../terminal/interruption.ts';
import { counted, plain } from '../terminal/output.ts';
import type { Surroundings } from './session.ts';
import { FoundWrong, type Steps, startSteps } from './steps.ts';
import { withMaintenance } from './stores.ts';

interface VerifyWords {
  readonly repair?: true;
  readonly rungs: boolean;
  readonly json?: true;
}

export function addVerifyCommand(program: Command, surroundings: Surroundings): void {
  program
    .command('verify')
    .description('check every record, original, rung and cached rendition, beside a server or without one')
    .option('--repair', 'make anew what is derived: rungs, counters, uses of images; never originals')
    .option('--no-rungs', 'do not decode the rungs, which takes most of the time')
    .option('--json', 'print JSON')
    .action(async (words: VerifyWords) => {
      const { repair = false, rungs, json = false } = words;
      const report = new Report(surroundings, json);
      await interruptible(
        surroundings,
        (signal) =>
          withMaintenance(surroundings, async (maintenance) => {
            const total = await maintenance.countOriginals().catch(() => 0);
            const steps = await startSteps(surroundings, { what: 'originals', total, json });
            const onOriginal = () => {
              report.originals += 1;
              steps.step();
            };
            try {
              for await (const finding of maintenance.verify({ repair, rungs, onOriginal, signal })) {
                report.add(finding, steps);
              }
              report.complete = true;
            } finally {
              steps.end();
              report.end();
            }
          }),
        () => `${report.text()}, and the rest not looked at`,
      );
      if (report.left > 0) throw new FoundWrong(`something is wrong: ${counted(report.left, 'finding')}`);
    });
}

/** How the JSON of a report begins. */
const OPENING = '{\n  "findings": [\n';

/** What was found, told while more is looked for. As JSON it is one object, whole also after a failure. */
class Report {
  originals = 0;
  findings = 0;
  /** Those that were not repaired. */
  left = 0;
  /** Whether everything was looked at. */
  complete = false;
  readonly #write: Surroundings['write'];
  readonly #json: boolean;
  /** As JSON: the finding that was not written yet. */
  #last: string | undefined;

  constructor({ write }: Surroundings, json: boolean) {
    this.#write = write;
    this.#json = json;
  }

  add(finding: Finding, steps: Steps): void {
    this.findings += 1;
    if (!finding.repaired) this.left += 1;
    if (!this.#json) {
      steps.tell(textOf(finding));
      return;
    }
    // Whole lines only, because a bar may stand below; whether a comma follows is known when the next one comes.
    steps.tell(this.#last === undefined ? OPENING : `    ${this.#last},\n`);
    this.#last = JSON.stringify(finding);
  }

  text(): string {
    return `${counted(this.originals, 'original')} checked, ${counted(this.findings, 'finding')}`;
  }

  end(): void {
    const { originals, complete } = this;
    const repaired = this.findings - this.left;
    if (this.#json) {
      const rest = JSON.stringify({ originals, repaired, complete }, null, 2).slice(1);
      this.#write(`${this.#last === undefined ? OPENING : `    ${this.#last}\n`}  ],${rest}\n`);
    } else if (complete) {
      this.#write(`${this.text()}, ${repaired} repaired\n`);
    }
  }
}

function textOf({ kind, accountID, imageID, digest, text, repaired }: Finding): string {
  const about = [
    accountID && `account ${accountID}`,
    imageID && `image ${imageID}`,
    !imageID && digest && `original ${digest}`,
  ].filter(Boolean);
  const place = about.length === 0 ? '' : ` (${about.join(', ')})`;
  return `${kind}: ${plain(text)}${place}${repaired ? ': repaired' : ''}\n`;
}
