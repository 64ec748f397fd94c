/**
 * The examples of the operations on accounts, keys and tokens: a shop, the key of its web site, and a key for
 * all accounts.
 */
import { type Example, type Examples, example, PLACEHOLDERS } from '../shared/examples.ts';

const { accountID, keyID, serverKeyID, accessToken, refreshToken, adminKeyID, requestID } = PLACEHOLDERS;

const settings = { displayName: 'Lamp shop', disablePolicy: 'refuse-in-use', imageQuota: 2_000 };
const account = { accountID, createdOn: '2026-03-01T08:00:12.345Z', ...settings };
const Account = example('Account', 'An account with a quota', account);
const suspendedOn = '2026-04-01T00:00:03.021Z';

const scopes = (id: string, ...names: string[]) => names.map((name) => `/accounts/${id}/${name}`);

const webShop = {
  name: 'Web shop',
  scopes: scopes(accountID, 'images.read', 'products.read'),
  expiresOn: '2027-03-01T00:00:00.000Z',
};
const key = {
  keyID,
  publicKey: PLACEHOLDERS.publicKey,
  accounts: [accountID],
  ...webShop,
  createdOn: '2026-03-01T08:01:40.027Z',
};
const overlapUntil = '2026-09-01T10:00:00.481Z';

const backup = { name: 'Nightly export', accounts: 'all', scopes: scopes('{accountID}', 'images.read') };
const serverKey = {
  keyID: serverKeyID,
  publicKey: PLACEHOLDERS.serverPublicKey,
  ...backup,
  createdOn: '2026-03-01T08:05:02.916Z',
};

const Rotation = example('Rotation', 'The previous secret stays valid for an hour', { overlapSeconds: 3600 });
const EndedKey = example('EndedKey', 'A revoked key', {
  error: 'the key was revoked or has expired, and cannot be rotated',
});

const KeyCreated = {
  sequence: 2,
  on: key.createdOn,
  action: 'key.create',
  accountID,
  subject: { kind: 'key', id: keyID },
  by: { kind: 'key', keyID: adminKeyID, requestID, address: '203.0.113.7' },
  details: {
    name: webShop.name,
    publicKey: key.publicKey,
    scopes: ['images.read', 'products.read'],
    expiresOn: webShop.expiresOn,
  },
};
const ServerKeyCreated = {
  ...KeyCreated,
  on: serverKey.createdOn,
  accountID: undefined,
  subject: { kind: 'key', id: serverKeyID },
  by: { ...KeyCreated.by, requestID: PLACEHOLDERS.otherRequestID },
  details: { name: backup.name, publicKey: serverKey.publicKey, scopes: ['images.read'] },
};

const InvalidClient: readonly Example[] = [
  example('InvalidClient', 'A wrong secret', {
    error: 'invalid_client',
    error_description: 'the credentials are not valid',
  }),
];

export const ACCESS_EXAMPLES: Examples = {
  createAccount: {
    request: [example('NewAccount', 'An account with a quota', settings)],
    responses: {
      201: [Account],
      409: [
        example('AccountExists', 'The accountID of another account', {
          error: 'an account with this accountID already exists',
        }),
      ],
    },
  },
  listAccounts: { responses: { 200: [example('AccountList', 'A page with one account', [account])] } },
  getAccount: { responses: { 200: [Account] } },
  updateAccount: {
    request: [example('NewQuota', 'Another quota, and the rest stays', { imageQuota: 2_000 })],
    responses: { 200: [Account] },
  },
  suspendAccount: {
    responses: {
      200: [example('SuspendedAccount', 'A suspended account', { ...account, suspendedOn })],
    },
  },
  resumeAccount: { responses: { 200: [Account] } },
  listAccountAudit: {
    responses: { 200: [example('AccountAudit', 'A page with one entry', [KeyCreated])] },
  },
  listServerAudit: {
    responses: { 200: [example('ServerAudit', 'A page with one entry', [withoutAbsent(ServerKeyCreated)])] },
  },
  createAccountKey: {
    request: [
      example('NewKeyWithDefaults', 'A key with the scopes of the credentials', { name: 'Web shop' }),
      example('NewKey', 'A key that only reads, for a year', {
        ...webShop,
        scopes: scopes('{accountID}', 'images.read', 'products.read'),
      }),
    ],
    responses: {
      201: [example('IssuedKey', 'A key with its secret', { ...key, secretKey: PLACEHOLDERS.secretKey })],
    },
  },
  listAccountKeys: { responses: { 200: [example('KeyList', 'A page with one key', [key])] } },
  getAccountKey: { responses: { 200: [example('Key', 'A key of one account', key)] } },
  rotateAccountKey: {
    request: [Rotation],
    responses: {
      200: [
        example('RotatedKey', 'A key with its new secret', {
          ...key,
          secretKey: PLACEHOLDERS.newSecretKey,
          overlapUntil,
        }),
      ],
      409: [EndedKey],
    },
  },
  getMe: {
    responses: {
      200: [
        example('Me', 'A key of one account', {
          keyID,
          publicKey: key.publicKey,
          expiresOn: key.expiresOn,
          scopes: key.scopes,
          accounts: [{ accountID, displayName: account.displayName, scopes: key.scopes }],
        }),
      ],
    },
  },
  revokeAccountKey: { responses: {} },
  createKey: {
    request: [example('NewServerKey', 'A key that reads the images of all accounts', backup)],
    responses: {
      201: [
        example('IssuedServerKey', 'A key with its secret', {
          ...serverKey,
          secretKey: PLACEHOLDERS.serverSecretKey,
        }),
      ],
    },
  },
  listKeys: { responses: { 200: [example('ServerKeyList', 'A page with one key', [serverKey])] } },
  getKey: { responses: { 200: [example('ServerKey', 'A key for all accounts', serverKey)] } },
  rotateKey: {
    request: [Rotation],
    responses: {
      200: [
        example('RotatedServerKey', 'A key with its new secret', {
          ...serverKey,
          secretKey: PLACEHOLDERS.newServerSecretKey,
          overlapUntil,
        }),
      ],
      409: [EndedKey],
    },
  },
  revokeKey: { responses: {} },
  createAccessToken: {
    request: [
      example('ClientCredentials', 'A token with all scopes of the key', {
        grant_type: 'client_credentials',
      }),
      example('RefreshToken', 'New tokens for a refresh token', {
        grant_type: 'refresh_token',
        refresh_token: refreshToken,
      }),
    ],
    responses: {
      200: [
        example('Tokens', 'An access token for one hour', {
          token_type: 'Bearer',
          access_token: accessToken,
          refresh_token: refreshToken,
          expires_in: 3600,
          scope: webShop.scopes.join(' '),
        }),
      ],
      400: [
        example('InvalidGrant', 'A refresh token that was used before', {
          error: 'invalid_grant',
          error_description: 'the refresh token is not valid',
        }),
      ],
      401: InvalidClient,
    },
  },
  revokeAccessToken: {
    request: [example('RevokedToken', 'A refresh token', { token: refreshToken })],
    responses: {
      400: [
        example('NoToken', 'A request without a token', {
          error: 'invalid_request',
          error_description: 'token is required',
        }),
      ],
      401: InvalidClient,
    },
  },
};

/** The entry of a change that affects the whole server has no account. */
function withoutAbsent(entry: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== undefined));
}
