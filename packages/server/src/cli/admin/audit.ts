/**
 * `vitrine audit`. Owns how the audit trail is printed.
 */
import type { Command } from 'commander';
import type { AuditEntry } from '../../access/audit.ts';
import { auditJSON } from '../../http/access/json.ts';
import { type Column, json, paged, table } from '../terminal/output.ts';
import { type Surroundings, withSession } from './session.ts';

const COLUMNS: readonly Column<AuditEntry>[] = [
  ['NUMBER', ({ sequence }) => String(sequence)],
  ['TIME', ({ on }) => on.toISOString()],
  ['ACTION', ({ action }) => action],
  ['SUBJECT', ({ subjectID }) => subjectID],
  ['BY', byText],
  ['FROM', ({ by }) => (by.kind === 'key' ? by.address : undefined)],
  ['BEFORE', ({ before }) => before?.slice(0, 12)],
  ['AFTER', ({ after }) => after?.slice(0, 12)],
];

export function addAuditCommand(program: Command, surroundings: Surroundings): void {
  const audit = program
    .command('audit')
    .description('read what happened in an account, newest first; without one, to the server as a whole')
    .argument('[account]', 'its ID');
  paged(audit)
    .option('--json', 'print JSON')
    .action(async (account: string | undefined, options: { skip: number; count: number; json?: true }) => {
      const entries = await withSession(surroundings, async ({ administration }) => {
        const accountID = account && (await administration.getAccount(account)).accountID;
        return (await administration.listAudit(accountID, options)).entries;
      });
      const shown = options.json
        ? json(entries.map(auditJSON))
        : table(entries, COLUMNS, 'Nothing happened.');
      surroundings.write(shown);
    });
}

function byText({ by }: AuditEntry): string {
  switch (by.kind) {
    case 'key':
      return `key ${by.keyID}`;
    case 'operator':
      return `operator ${by.name}`;
    case 'server':
      return 'server';
  }
}
