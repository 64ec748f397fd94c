/**
 * Runs `vitrine verify` and `vitrine gc` on a library after crashes, while its server runs.
 * `verify` may find only derived data, which it rebuilds. `gc` removes what the crashes left.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Finding } from '../../../../src/maintenance/verify.ts';

const VITRINE = join(import.meta.dirname, '../../../../vitrine.mjs');
const run = promisify(execFile);

/** Rungs and cached renditions are stored without a sync. The server rebuilds them when they are damaged. */
const DERIVED: readonly Finding['kind'][] = ['rung-missing', 'rung-damaged', 'rendition-damaged'];

export interface OperatorReport {
  /** A sentence for each finding that is not repaired or not about derived data. */
  readonly problems: string[];
  /** The number of rungs and renditions that `verify` repaired. */
  readonly repaired: number;
  /** The number of originals that `gc` removed. */
  readonly collected: number;
}

/**
 * Repairs and garbage-collects the library. Afterwards it has no unreferenced originals.
 * @param env of the server
 */
export async function runOperatorChecks(
  data: string,
  env: Readonly<Record<string, string>>,
): Promise<OperatorReport> {
  const vitrine = async (...parameters: string[]) => {
    const command = ['--conditions=vitrine-source', VITRINE, ...parameters, '--json'];
    const { stdout } = await run(process.execPath, command, {
      env: { PATH: process.env.PATH, VITRINE_DATA: data, ...env },
      maxBuffer: 64 * 1024 * 1024,
    }).catch((error: { code?: unknown; stdout?: string; stderr?: string }) => {
      // `verify` prints its findings and exits with 1 if some are not repaired.
      if (error.code !== 1 || !error.stdout) throw error;
      return { stdout: error.stdout };
    });
    return JSON.parse(stdout) as unknown;
  };
  const { findings } = (await vitrine('verify', '--repair')) as { findings: Finding[] };
  const isRepaired = ({ kind, repaired }: Finding) => repaired && DERIVED.includes(kind);
  const problems = findings
    .filter((finding) => !isRepaired(finding))
    .map(({ kind, text }) => `vitrine verify: ${kind}: ${text}`);
  const { originals } = (await vitrine('gc', '--grace', '0')) as { originals: number };
  const remaining = (await vitrine('verify')) as { findings: Finding[] };
  problems.push(...remaining.findings.map(({ text }) => `vitrine verify after the repair and gc: ${text}`));
  return { problems, repaired: findings.filter(isRepaired).length, collected: originals };
}
