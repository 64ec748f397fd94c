/**
 * `vitrine audit`: prints the audit trail.
 */
import type { Command } from 'commander';
import type { AuditEntry } from '../../access/audit.ts';
import { auditJSON } from '../../http/access/json.ts';
import type { CommandContext } from '../terminal/context.ts';
import { addPagingOptions } from '../terminal/options.ts';
import { formatJSON } from '../terminal/output.ts';
import { type Column, formatTable } from '../terminal/table.ts';
import { withSession } from './session.ts';

const COLUMNS: readonly Column<AuditEntry>[] = [
  ['NUMBER', ({ sequence }) => String(sequence)],
  ['TIME', ({ on }) => on.toISOString()],
  ['ACTION', ({ action }) => action],
  ['SUBJECT', ({ subjectID }) => subjectID],
  ['BY', actorText, 'long'],
  ['FROM', ({ by }) => (by.kind === 'key' ? by.address : undefined), 'long'],
  ['BEFORE', ({ before }) => before?.slice(0, 12)],
  ['AFTER', ({ after }) => after?.slice(0, 12)],
];

export function addAuditCommand(program: Command, context: CommandContext): void {
  const audit = program
    .command('audit')
    .description('list the audit trail of an account or of the server, newest first')
    .argument('[account]', 'ID of the account, a UUID (default: the entries of the server as a whole)');
  addPagingOptions(audit)
    .option('--json', 'print JSON')
    .action(async (account: string | undefined, options: { skip: number; count: number; json?: true }) => {
      const { entries } = await withSession(context, 'read', async ({ administration }) => {
        const accountID = account && (await administration.getAccount(account)).accountID;
        return administration.listAudit(accountID, options);
      });
      const output = options.json
        ? formatJSON(entries.map(auditJSON))
        : await formatTable(context, entries, COLUMNS, 'There are no entries.');
      context.stdout(output);
    });
}

function actorText({ by }: AuditEntry): string {
  switch (by.kind) {
    case 'key':
      return `key ${by.keyID}`;
    case 'operator':
      return `operator ${by.name}`;
    case 'server':
      return 'server';
  }
}
