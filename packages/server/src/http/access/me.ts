/**
 * `GET /me`: the key of a request, and its rights. Every valid key or token may ask, also without any scope.
 */
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import type { Identity } from '../../access/administration.ts';
import { formatGrants, formatScope } from '../../access/rights.ts';
import { VersionHeader } from '../shared/schemas.ts';
import type { AdministrationRoutes } from './accounts.ts';
import { type MeSchema, responseOf } from './schemas.ts';

export function addMeRoute(app: FastifyInstance, { administration }: AdministrationRoutes): void {
  app.get(
    '/me',
    {
      config: { scope: 'any' },
      schema: {
        operationId: 'getMe',
        summary: 'Get the rights of the credentials',
        description:
          'Returns the key of the request, its accounts and its scopes. For an access token, the rights are those of the token. Requires no scope.',
        tags: ['Keys'],
        headers: VersionHeader,
        response: responseOf(200, 'The key and its rights.', 'Me'),
      },
    },
    async ({ principal }) => {
      if (principal === undefined) throw new TypeError('GET /me declares no scope');
      return meJSON(await administration.identify(principal));
    },
  );
}

function meJSON({ principal, accounts }: Identity): Static<typeof MeSchema> {
  const { keyID, publicKey, expiresOn, grants } = principal;
  const isForAll = [...grants.values()].includes('all');
  return {
    keyID,
    publicKey,
    ...(expiresOn && { expiresOn: expiresOn.toISOString() }),
    ...(isForAll && { allAccounts: true }),
    scopes: formatGrants(grants).split(' ').filter(Boolean),
    accounts: accounts.map(({ account: { accountID, displayName }, scopes }) => ({
      accountID,
      displayName,
      scopes: scopes.map((scope) => formatScope(scope, accountID)),
    })),
  };
}
