/**
 * `vitrine doctor`: prints the results of the checks in doctor-checks.ts.
 */
import type { Command } from 'commander';
import type { CommandContext } from '../terminal/context.ts';
import { ProblemsFound } from '../terminal/exit-codes.ts';
import { formatCount, formatJSON, sanitizeLine } from '../terminal/output.ts';
import { type Styles, stylesFor } from '../terminal/style.ts';
import type { Check } from './doctor-checks.ts';

const MARKS: Readonly<Record<Check['outcome'], readonly [text: string, style: keyof Styles]>> = {
  ok: ['ok  ', 'green'],
  warn: ['warn', 'yellow'],
  fail: ['FAIL', 'red'],
};

/** The length of the longest name of a check, `product categories`. */
const NAME_WIDTH = 18;

export function addDoctorCommand(program: Command, context: CommandContext): void {
  program
    .command('doctor')
    .description('check whether the server can run here: configuration, disks, database, decoders, URLs')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }) => {
      const { runChecks } = await import('./doctor-checks.ts');
      const checks: Check[] = [];
      const styles = stylesFor(context);
      for await (const check of runChecks(context.env)) {
        checks.push(check);
        const { name, outcome, text } = check;
        if (!options.json) {
          const [mark, style] = MARKS[outcome];
          context.stdout(`${styles[style](mark)}  ${name.padEnd(NAME_WIDTH)}  ${sanitizeLine(text)}\n`);
        }
      }
      if (options.json) context.stdout(formatJSON(checks));
      const failures = checks.filter(({ outcome }) => outcome === 'fail').length;
      if (failures > 0) {
        throw new ProblemsFound(`the server cannot run like this: ${formatCount(failures, 'check')} failed`);
      }
    });
}
