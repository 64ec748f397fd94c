/**
 * `vitrine doctor`. Owns the words of the command and how what it found is printed; doctor-checks.ts looks.
 */
import type { Command } from 'commander';
import { json, plain } from '../terminal/output.ts';
import type { Check } from './doctor-checks.ts';
import type { Surroundings } from './session.ts';
import { FoundWrong } from './steps.ts';

const MARKS: Readonly<Record<Check['outcome'], string>> = { ok: 'ok  ', warn: 'warn', fail: 'FAIL' };

export function addDoctorCommand(program: Command, surroundings: Surroundings): void {
  program
    .command('doctor')
    .description('look whether the server can work here: configuration, disks, database, decoders, addresses')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }) => {
      const { examine } = await import('./doctor-checks.ts');
      const checks: Check[] = [];
      for await (const check of examine(surroundings.env)) {
        checks.push(check);
        const { name, outcome, text } = check;
        if (!options.json) surroundings.write(`${MARKS[outcome]}  ${name.padEnd(13)}  ${plain(text)}\n`);
      }
      if (options.json) surroundings.write(json(checks));
      const failed = checks.filter(({ outcome }) => outcome === 'fail').length;
      if (failed > 0) throw new FoundWrong(`the server cannot work like this: ${failed} checks failed`);
    });
}
