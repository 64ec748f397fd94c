/**
 * The routes of accounts and of the audit trail. Each route declares its scope. `Administration` checks
 * rights that depend on the request.
 */
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import type { Administration } from '../../access/administration.ts';
import { readAccountSettings } from '../../access/settings.ts';
import { addPageHeaders, readPage } from '../shared/paging.ts';
import { accountOf, callerOf } from '../shared/route-rules.ts';
import { AccountParams, ListQuery, VersionHeader } from '../shared/schemas.ts';
import { accountJSON, auditJSON } from './json.ts';
import { CONFLICT, responseOf } from './schemas.ts';

export interface AdministrationRoutes {
  readonly administration: Administration;
  /** The base of links, without a trailing slash. */
  readonly baseURL: () => string;
  readonly now: () => Date;
}

type OfAccount = { Params: Static<typeof AccountParams> };
type PageRoute = { Querystring: Static<typeof ListQuery> };

export function addAccountRoutes(
  app: FastifyInstance,
  { administration, baseURL }: AdministrationRoutes,
): void {
  const tags = ['Accounts'];
  const headers = VersionHeader;
  const read = { scope: 'accounts.read' } as const;
  const write = { scope: 'accounts.write' } as const;
  const writeAll = { ...write, allAccounts: true } as const;

  app.post(
    '/accounts',
    {
      config: writeAll,
      schema: {
        operationId: 'createAccount',
        summary: 'Create an account',
        description: 'Requires credentials for all accounts.',
        tags,
        headers,
        body: { $ref: 'AccountRequest#' },
        response: { ...responseOf(201, 'The account was created.', 'Account'), ...CONFLICT },
      },
    },
    async (request, reply) => {
      const account = await administration.createAccount(
        callerOf(request),
        readAccountSettings(request.body),
      );
      return reply.code(201).send(accountJSON(account));
    },
  );

  app.get<PageRoute>(
    '/accounts',
    {
      config: read,
      schema: {
        operationId: 'listAccounts',
        summary: 'List accounts',
        description:
          'Returns the accounts that the credentials may read. Suspended accounts are included only with credentials for all accounts.',
        tags,
        headers,
        querystring: ListQuery,
        response: responseOf(200, 'A page of accounts, newest first.', 'Account', true),
      },
    },
    async (request, reply) => {
      const page = readPage(request.query);
      const { accounts, total } = await administration.listAccounts(callerOf(request), page);
      addPageHeaders(reply, { url: `${baseURL()}/accounts`, page, length: accounts.length, total });
      return accounts.map(accountJSON);
    },
  );

  app.get<OfAccount>(
    '/accounts/:accountID',
    {
      config: read,
      schema: {
        operationId: 'getAccount',
        summary: 'Get an account',
        tags,
        headers,
        params: AccountParams,
        response: responseOf(200, 'The account.', 'Account'),
      },
    },
    async (request) => accountJSON(await administration.getAccount(accountOf(request))),
  );

  app.patch<OfAccount>(
    '/accounts/:accountID',
    {
      config: write,
      schema: {
        operationId: 'updateAccount',
        summary: 'Update an account',
        description:
          'Changes the name, the quotas or the disable policy. Absent fields stay as they are. Quotas require credentials for all accounts.',
        tags,
        headers,
        params: AccountParams,
        body: { $ref: 'AccountPatch#' },
        response: responseOf(200, 'The account after the update.', 'Account'),
      },
    },
    async (request) => {
      const settings = readAccountSettings(request.body);
      return accountJSON(await administration.changeAccount(callerOf(request), accountOf(request), settings));
    },
  );

  app.post<OfAccount>(
    '/accounts/:accountID/suspend',
    {
      config: writeAll,
      schema: {
        operationId: 'suspendAccount',
        summary: 'Suspend an account',
        description:
          'Keys and tokens of the account get 403, as for an unknown account. Credentials for all accounts still work, and so do public links. Suspending a suspended account succeeds. Requires credentials for all accounts.',
        tags,
        headers,
        params: AccountParams,
        response: responseOf(200, 'The account is suspended.', 'Account'),
      },
    },
    async (request) =>
      accountJSON(await administration.suspendAccount(callerOf(request), accountOf(request))),
  );

  app.post<OfAccount>(
    '/accounts/:accountID/resume',
    {
      config: writeAll,
      schema: {
        operationId: 'resumeAccount',
        summary: 'Resume a suspended account',
        description:
          'Its keys and tokens work again. Resuming an account that is not suspended succeeds. Requires credentials for all accounts.',
        tags,
        headers,
        params: AccountParams,
        response: responseOf(200, 'The account is not suspended.', 'Account'),
      },
    },
    async (request) => accountJSON(await administration.resumeAccount(callerOf(request), accountOf(request))),
  );

  app.get<OfAccount & PageRoute>(
    '/accounts/:accountID/audit',
    {
      config: read,
      schema: {
        operationId: 'listAccountAudit',
        summary: 'List the audit trail of an account',
        description: 'Returns the changes to the account and everything in it.',
        tags,
        headers,
        params: AccountParams,
        querystring: ListQuery,
        response: responseOf(200, 'A page of the audit trail, newest first.', 'AuditEntry', true),
      },
    },
    async (request, reply) => {
      const page = readPage(request.query);
      const accountID = accountOf(request);
      const { entries, total } = await administration.listAudit(accountID, page);
      addPageHeaders(reply, {
        url: `${baseURL()}/accounts/${accountID}/audit`,
        page,
        length: entries.length,
        total,
      });
      return entries.map(auditJSON);
    },
  );

  app.get<PageRoute>(
    '/audit',
    {
      config: { ...read, allAccounts: true },
      schema: {
        operationId: 'listServerAudit',
        summary: 'List the audit trail of the server',
        description:
          'Returns the changes that are not of a single account, such as keys for all accounts. Requires credentials for all accounts.',
        tags,
        headers,
        querystring: ListQuery,
        response: responseOf(200, 'A page of the audit trail, newest first.', 'AuditEntry', true),
      },
    },
    async (request, reply) => {
      const page = readPage(request.query);
      const { entries, total } = await administration.listAudit(undefined, page);
      addPageHeaders(reply, { url: `${baseURL()}/audit`, page, length: entries.length, total });
      return entries.map(auditJSON);
    },
  );
}
