/**
 * What an operator's own tools say of a library after crashes: `vitrine verify` beside the running server finds nothing
 * but what is derived and can be made anew, and `vitrine gc` takes away what crashes left and nothing else. Refuses to
 * know the journal: these tools have only the library to go by.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Finding } from '../../../src/maintenance/verify.ts';

const VITRINE = join(import.meta.dirname, '../../../vitrine.mjs');
const run = promisify(execFile);

/** Rungs and cached renditions are stored without being synced: whoever finds one missing or damaged makes it anew. */
const DERIVED: readonly Finding['kind'][] = ['rung-missing', 'rung-damaged', 'rendition-damaged'];

export interface Keeping {
  readonly complaints: string[];
  /** What was found and made anew. */
  readonly derived: number;
  /** Originals that were collected. */
  readonly collected: number;
}

/** @param env of the server. Leaves the library without anything that no record names. */
export async function keep(data: string, env: Readonly<Record<string, string>>): Promise<Keeping> {
  const vitrine = async (...parameters: string[]) => {
    const command = ['--conditions=vitrine-source', VITRINE, ...parameters, '--json'];
    const ended = await run(process.execPath, command, {
      env: { PATH: process.env.PATH, VITRINE_DATA: data, ...env },
      maxBuffer: 64 * 1024 * 1024,
      // Ends with 1 where something is left, and says what all the same.
    }).catch((error: { code?: unknown; stdout?: string; stderr?: string }) => {
      if (error.code !== 1 || !error.stdout) throw error;
      return { stdout: error.stdout };
    });
    return JSON.parse(ended.stdout) as unknown;
  };
  const found = (await vitrine('verify', '--repair')) as { findings: Finding[] };
  const derived = found.findings.filter(({ kind, repaired }) => repaired && DERIVED.includes(kind)).length;
  const complaints = found.findings
    .filter(({ kind, repaired }) => !repaired || !DERIVED.includes(kind))
    .map(({ kind, text }) => `vitrine verify: ${kind}: ${text}`);
  const { originals } = (await vitrine('gc', '--grace', '0')) as { originals: number };
  const left = (await vitrine('verify')) as { findings: Finding[] };
  complaints.push(...left.findings.map(({ text }) => `vitrine verify after the repair and gc: ${text}`));
  return { complaints, derived, collected: originals };
}
