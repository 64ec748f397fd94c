import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type AccountSet, type Grants, SCOPES, type Scope } from '../../src/access/account.ts';
import {
  covers,
  formatGrants,
  formatScope,
  intersectGrants,
  isGranted,
  narrowGrants,
  parseScope,
  type RequestedScope,
  soleAccount,
} from '../../src/access/rights.ts';

const ACCOUNTS = [
  '3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb',
  '0f0e0d0c-0b0a-4908-8706-050403020100',
  '7cec5bd3-6340-4de4-a923-bf6ec0f7e921',
];

const anyScope = fc.constantFrom(...SCOPES);
const anySet: fc.Arbitrary<AccountSet> = fc.oneof(
  fc.constant('all' as const),
  fc.uniqueArray(fc.constantFrom(...ACCOUNTS)),
);
const anyGrants: fc.Arbitrary<Grants> = fc
  .uniqueArray(fc.tuple(anyScope, anySet), { selector: ([scope]) => scope })
  .map((pairs) => new Map<Scope, AccountSet>(pairs));

/** Every scope in every account, and in an account that no grant names. */
const EVERY_RIGHT = SCOPES.flatMap((scope) => [...ACCOUNTS, 'another'].map((id) => [scope, id] as const));
const allowed = (grants: Grants) => EVERY_RIGHT.map(([scope, id]) => isGranted(grants, scope, id));

describe('grants', () => {
  test('intersect to the rights that are in both', () => {
    fc.assert(
      fc.property(anyGrants, anyGrants, (one, other) => {
        const [inOne, inOther] = [allowed(one), allowed(other)];
        assert.deepEqual(
          allowed(intersectGrants(one, other)),
          inOne.map((is, index) => is && inOther[index] === true),
        );
      }),
    );
  });

  test('narrow to the requested rights, and never to more than the original rights', () => {
    const anyRequest = fc.array(
      fc.record(
        { scope: anyScope, accountID: fc.constantFrom(...ACCOUNTS) },
        { requiredKeys: ['scope'] },
      ) as fc.Arbitrary<RequestedScope>,
      { minLength: 1 },
    );
    fc.assert(
      fc.property(anyGrants, anyRequest, (grants, request) => {
        const narrow = narrowGrants(grants, request);
        const isIncluded = request.every(({ scope, accountID }) =>
          accountID === undefined ? grants.has(scope) : isGranted(grants, scope, accountID),
        );
        assert.equal(narrow !== undefined, isIncluded);
        if (narrow === undefined) return;
        assert.deepEqual(
          allowed(narrow),
          EVERY_RIGHT.map(
            ([scope, id]) =>
              isGranted(grants, scope, id) &&
              request.some((each) => each.scope === scope && (each.accountID ?? id) === id),
          ),
        );
      }),
    );
  });

  test('cover a key only if they include all rights of the key', () => {
    fc.assert(
      fc.property(anyGrants, anySet, fc.uniqueArray(anyScope), (grants, accounts, scopes) => {
        const keys: Grants = new Map(scopes.map((scope) => [scope, accounts]));
        const may = allowed(grants);
        // The account that no grant names stands for accounts that are created later.
        const isCovered =
          allowed(keys).every((needed, index) => !needed || may[index]) &&
          (accounts.length > 0 || scopes.every((scope) => grants.has(scope)));
        assert.equal(covers(grants, { accounts, scopes }), isCovered);
      }),
    );
  });

  test('format scopes that parse to the same scopes', () => {
    fc.assert(
      fc.property(
        anyScope,
        fc.option(fc.constantFrom(...ACCOUNTS), { nil: undefined }),
        (scope, accountID) => {
          const text = formatScope(scope, accountID);
          const ofAccount = text.startsWith('/accounts/') && accountID !== undefined;
          assert.deepEqual(parseScope(text), { scope, ...(ofAccount && { accountID }) });
        },
      ),
    );
    const grants: Grants = new Map<Scope, AccountSet>([
      ['images.read', ACCOUNTS.slice(0, 2)],
      ['images.write', 'all'],
      ['ping.read', ACCOUNTS],
    ]);
    const [one, two] = ACCOUNTS;
    assert.equal(
      formatGrants(grants),
      `/accounts/${one}/images.read /accounts/${two}/images.read /accounts/{accountID}/images.write /ping.read`,
    );
  });

  test('do not parse malformed scopes', () => {
    for (const text of [
      '',
      '/',
      'images',
      '/images.read',
      '/accounts/images.read',
      `/accounts/${ACCOUNTS[0]}/ping.read`,
      `/accounts/${ACCOUNTS[0]}/accounts.read`,
      '/accounts/x/images.read',
      '/accounts/{accountid}/images.read',
      `/accounts/${ACCOUNTS[0]}/images.read/`,
      '__proto__',
    ]) {
      assert.equal(parseScope(text), undefined, text);
    }
  });

  test('have a sole account if all of them are for the same account', () => {
    const of = (...sets: AccountSet[]) =>
      soleAccount(new Map(sets.map((set, index) => [SCOPES[index] ?? 'ping.read', set])));
    const [one = '', two = ''] = ACCOUNTS;
    assert.equal(of([one], [one]), one);
    assert.equal(of([one], [two]), undefined);
    assert.equal(of([one], 'all'), undefined);
    assert.equal(of('all'), undefined);
    assert.equal(of(), undefined);
    assert.equal(of([one, two]), undefined);
  });
});
