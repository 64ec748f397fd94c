/**
 * `vitrine verify`: the arguments of the command and its output. Prints each finding at once, so that memory
 * use does not grow with the number of findings.
 */
import type { Command } from 'commander';
import type { Finding } from '../../maintenance/verify.ts';
import type { CommandContext } from '../terminal/context.ts';
import { ProblemsFound } from '../terminal/exit-codes.ts';
import { runInterruptible } from '../terminal/interruption.ts';
import { formatCount, sanitizeLine, stringifyJSON } from '../terminal/output.ts';
import { type Progress, startProgress } from '../terminal/progress-bar.ts';
import { withMaintenance } from './stores.ts';

interface Options {
  readonly repair?: boolean;
  readonly rungs: boolean;
  readonly json?: boolean;
}

export function addVerifyCommand(program: Command, context: CommandContext): void {
  program
    .command('verify')
    .description(
      'check every record, original, rung and cached rendition; the server may run at the same time',
    )
    .option('--repair', 'repair derived data: rungs, counters and the uses of images; never originals')
    .option('--no-rungs', 'do not decode the rungs, which takes most of the time')
    .option('--json', 'print JSON')
    .action(async ({ repair = false, rungs, json = false }: Options) => {
      const report = new Report(context, json);
      await runInterruptible(
        context,
        (signal) =>
          withMaintenance(
            context,
            async (maintenance) => {
              // The total is only for the progress bar. A damaged database may not be able to count.
              const total = await maintenance.countOriginals().catch(() => 0);
              const progress = await startProgress(context, { what: 'originals', total, json });
              const onOriginal = () => {
                report.originals += 1;
                progress.countItem();
              };
              try {
                for await (const finding of maintenance.verify({ repair, rungs, onOriginal, signal })) {
                  report.add(finding, progress);
                }
                report.complete = true;
              } finally {
                progress.end();
                report.end();
              }
            },
            repair ? 'write' : 'read',
          ),
        () => `${report.summary()}; the rest was not checked`,
      );
      const { unrepaired } = report;
      if (unrepaired > 0) throw new ProblemsFound(`problems found: ${formatCount(unrepaired, 'finding')}`);
    });
}

/** The first lines of a JSON report. */
const JSON_START = '{\n  "findings": [\n';

/** Prints findings as they arrive. A JSON report is one object, which is valid also after a failure. */
class Report {
  originals = 0;
  findings = 0;
  unrepaired = 0;
  /** Whether every check ran. */
  complete = false;
  readonly #stdout: CommandContext['stdout'];
  readonly #json: boolean;
  /** The last finding as JSON, not printed yet. The comma after it depends on the next finding. */
  #pending: string | undefined;

  constructor({ stdout }: CommandContext, json: boolean) {
    this.#stdout = stdout;
    this.#json = json;
  }

  add(finding: Finding, progress: Progress): void {
    this.findings += 1;
    if (!finding.repaired) this.unrepaired += 1;
    if (!this.#json) {
      progress.print(findingText(finding));
      return;
    }
    // Only whole lines: the progress bar may be below them.
    progress.print(this.#pending === undefined ? JSON_START : `    ${this.#pending},\n`);
    this.#pending = stringifyJSON(finding);
  }

  summary(): string {
    return `${formatCount(this.originals, 'original')} checked, ${formatCount(this.findings, 'finding')}`;
  }

  end(): void {
    const { originals, complete } = this;
    const repaired = this.findings - this.unrepaired;
    if (this.#json) {
      const rest = stringifyJSON({ originals, repaired, complete }, 2).slice(1);
      this.#stdout(`${this.#pending === undefined ? JSON_START : `    ${this.#pending}\n`}  ],${rest}\n`);
    } else if (complete) {
      this.#stdout(`${this.summary()}, ${repaired} repaired\n`);
    }
  }
}

function findingText({ kind, accountID, imageID, digest, text, repaired }: Finding): string {
  const subjects = [
    accountID && `account ${accountID}`,
    imageID && `image ${imageID}`,
    !imageID && digest && `original ${digest}`,
  ].filter(Boolean);
  const subject = subjects.length === 0 ? '' : ` (${subjects.join(', ')})`;
  return `${kind}: ${sanitizeLine(text)}${subject}${repaired ? ': repaired' : ''}\n`;
}
