// Takes jsforce through what a data writer does, against the simulator at the
// URL given. Every step asserts what it got and prints a line.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import jsforce from 'jsforce';

const url = process.argv[2];
assert.ok(url, 'usage: node steps.js URL');

let conn;
let done = 0;
async function step(name, run) {
  try {
    await run();
  } catch (err) {
    console.error(`FAILED  ${name}\n`, err);
    process.exit(1);
  }
  console.log(`ok ${String(++done).padStart(2)}  ${name}`);
}

// refused wants a call to fail with an error code of Salesforce's.
async function refused(call, code, text) {
  await assert.rejects(call, (err) => {
    assert.equal(err.errorCode, code, err.message);
    assert.ok(text.test(err.message), `${err.message} does not match ${text}`);
    return true;
  });
}

// control asks the simulator's control side.
async function control(path, body) {
  const resp = await fetch(url + '/_sim/' + path, body && { method: 'POST', body: JSON.stringify(body) });
  assert.equal(resp.status, 200, path);
  return resp.text();
}

// hasShape wants every member that jsforce's own types name.
const types = readFileSync('node_modules/jsforce/lib/types/common.d.ts', 'utf8');
function hasShape(value, type, except = []) {
  const body = types.match(new RegExp(`type ${type} = (?:\\w+ & )?\\{\\n([\\s\\S]*?)\\n\\};`))[1];
  const members = [...body.matchAll(/^ {4}(\w+): /gm)].map((m) => m[1]).filter((name) => !except.includes(name));
  assert.ok(members.length > 5, type);
  assert.deepEqual(members.filter((name) => !(name in value)), [], `${type} lacks members`);
}

const byNumber = (a, b) => a.Number__c.localeCompare(b.Number__c);
const oauth2 = new jsforce.OAuth2({ loginUrl: url, clientId: 'fake-client-id', clientSecret: 'fake-client-secret' });
const requestToken = () => oauth2.requestToken({ grant_type: 'client_credentials' });
const version = '66.0';
let userInfo;

await step('login with a wrong secret is refused', () =>
  assert.rejects(
    new jsforce.OAuth2({ loginUrl: url, clientId: 'fake-client-id', clientSecret: 'wrong' }).requestToken({ grant_type: 'client_credentials' }),
    { name: 'invalid_client' },
  ));

await step('login: a token and an instance from the token endpoint', async () => {
  const token = await requestToken();
  assert.equal(token.token_type, 'Bearer');
  assert.equal(token.instance_url, url);
  assert.match(token.access_token, /^00D\w{12}!/);
  assert.ok(!('expires_in' in token));
  conn = new jsforce.Connection({
    accessToken: token.access_token,
    instanceUrl: token.instance_url,
    version,
    refreshFn: (_, done) => requestToken().then((fresh) => done(null, fresh.access_token, fresh), done),
  });
  const other = new jsforce.Connection({ oauth2, version });
  userInfo = await other.authorize({ grant_type: 'client_credentials' });
  assert.match(userInfo.organizationId, /^00D\w{15}$/);
});

await step('versions without a session', async () => {
  const all = await new jsforce.Connection({ instanceUrl: url }).request('/services/data/');
  assert.ok(all.some((v) => v.version === version && v.url === `/services/data/v${version}`));
});

await step('identity, found by way of the resources', async () => {
  const me = await conn.identity();
  assert.equal(me.organization_id, userInfo.organizationId);
  assert.equal(me.user_id, userInfo.id);
  assert.equal(conn.userInfo.url, userInfo.url);
  assert.equal(me.urls.rest, url + '/services/data/v{version}/');
  hasShape(me, 'IdentityInfo');
});

await step('userinfo', async () => {
  const me = await conn.request('/services/oauth2/userinfo');
  assert.equal(me.organization_id, userInfo.organizationId);
});

await step('describeGlobal', async () => {
  const { sobjects, maxBatchSize } = await conn.describeGlobal();
  assert.equal(maxBatchSize, 200);
  const order = sobjects.find((o) => o.name === 'Order__c');
  assert.equal(order.custom, true);
  assert.equal(order.urls.describe, `/services/data/v${version}/sobjects/Order__c/describe`);
  assert.equal(order.keyPrefix.length, 3);
  for (const object of sobjects) hasShape(object, 'DescribeGlobalSObjectResult', ['idEnabled']); // no longer sent
});

await step('describe: types, keys, picklists, lookups', async () => {
  const whole = await conn.sobject('Order__c').describe();
  const { fields } = whole;
  hasShape(whole, 'DescribeSObjectResult');
  for (const one of fields) hasShape(one, 'Field');
  hasShape(whole.recordTypeInfos[0], 'RecordTypeInfo');
  const field = (name) => fields.find((f) => f.name === name);
  assert.equal(field('Number__c').externalId, true);
  assert.equal(field('Number__c').unique, true);
  assert.equal(field('Number__c').caseSensitive, false);
  assert.equal(field('Total__c').nillable, false);
  assert.deepEqual([field('Total__c').precision, field('Total__c').scale], [12, 2]);
  assert.deepEqual(field('Status__c').picklistValues.map((v) => v.value), ['Open', 'Sent']);
  assert.deepEqual(field('Buyer__c').referenceTo, ['Contact']);
  assert.equal(field('Buyer__c').relationshipName, 'Buyer__r');
  assert.equal(field('Id').type, 'id');
});

await step('describe of an unknown object', () =>
  refused(conn.describe('Nothing__c'), 'NOT_FOUND', /^The requested resource does not exist$/));

let ada;
await step('create', async () => {
  const r = await conn.sobject('Contact').create({ LastName: 'Lovelace', Email: 'ada@example.com', Shop_Id__c: 'c-1' });
  assert.equal(r.success, true);
  assert.deepEqual(r.errors, []);
  assert.match(r.id, /^003\w{15}$/);
  ada = r.id;
});

await step('retrieve, whole and by field', async () => {
  const whole = await conn.sobject('Contact').retrieve(ada);
  assert.equal(whole.attributes.type, 'Contact');
  assert.equal(whole.Id, ada);
  assert.match(whole.CreatedDate, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000\+0000$/);
  const part = await conn.retrieve('Contact', ada, { fields: ['LastName', 'Email'] });
  assert.deepEqual(Object.keys(part).sort(), ['Email', 'Id', 'LastName', 'attributes']);
});

await step('update, with null to clear', async () => {
  const r = await conn.sobject('Contact').update({ Id: ada, FirstName: 'Ada', Email: null });
  assert.deepEqual(r, { id: ada, success: true, errors: [] });
  const after = await conn.sobject('Contact').retrieve(ada);
  assert.equal(after.FirstName, 'Ada');
  assert.equal(after.Email, null);
});

await step('all of Unicode, quotes and line breaks come back', async () => {
  const text = 'Zoë "quoted", 日本語 🚀\r\nsecond line\n=1+1';
  await conn.sobject('Contact').update({ Id: ada, Description: text });
  assert.equal((await conn.sobject('Contact').retrieve(ada)).Description, text);
});

await step('errors of a row have code, message and fields', async () => {
  await assert.rejects(conn.sobject('Contact').create({ FirstName: 'Nobody' }), (err) => {
    assert.equal(err.errorCode, 'REQUIRED_FIELD_MISSING');
    assert.deepEqual(err.data.fields, ['LastName']);
    return true;
  });
  await refused(conn.sobject('Contact').create({ LastName: 'x', Nope__c: 1 }), 'INVALID_FIELD', /No such column 'Nope__c' on sobject of type Contact/);
  await refused(conn.sobject('Contact').create({ LastName: 'x', Shop_Id__c: 'C-1' }), 'DUPLICATE_VALUE', /duplicate value found: Shop_Id__c duplicates value on record with id: 003/);
  await refused(conn.sobject('Contact').create({ LastName: 'x'.repeat(81) }), 'STRING_TOO_LONG', /max length=80/);
  await refused(conn.sobject('Contact').create({ LastName: 'x', Birthdate: '31.12.1815' }), 'JSON_PARSER_ERROR', /Cannot deserialize instance of date/);
  await refused(conn.sobject('Order__c').create({ Total__c: 1, Number__c: 'TEST 1' }), 'FIELD_CUSTOM_VALIDATION_EXCEPTION', /^No test orders$/);
  await refused(conn.sobject('Contact').update({ Id: '003000000000000AAA', LastName: 'x' }), 'NOT_FOUND', /./);
});

await step('upsert creates, then updates', async () => {
  const orders = conn.sobject('Order__c');
  const first = await orders.upsert({ Number__c: 'o-1', Total__c: 10.5, Buyer__r: { Shop_Id__c: 'c-1' } }, 'Number__c');
  assert.deepEqual([first.success, first.created], [true, true]);
  const second = await orders.upsert({ Number__c: 'O-1', Total__c: 11.25 }, 'Number__c');
  assert.deepEqual([second.success, second.created, second.id], [true, false, first.id]);
  const row = await orders.retrieve(first.id);
  assert.deepEqual([row.Total__c, row.Buyer__c], [11.25, ada]);
});

await step('upsert refuses a field that is no key, and several matches', async () => {
  const orders = conn.sobject('Order__c');
  await refused(orders.upsert({ Total__c: 1, Paid__c: 'x' }, 'Paid__c'), 'NOT_FOUND', /Provided external ID field does not exist or is not accessible: Paid__c/);
  await orders.create([{ Total__c: 1, Batch__c: 'twice' }, { Total__c: 2, Batch__c: 'twice' }]);
  await assert.rejects(orders.upsert({ Batch__c: 'twice', Total__c: 3 }, 'Batch__c'), (err) => {
    assert.equal(err.name, 'MULTIPLE_CHOICES');
    assert.equal(err.data.length, 2);
    assert.match(err.data[0], /^\/services\/data\/v66\.0\/sobjects\/Order__c\/\w{18}$/);
    return true;
  });
});

await step('delete, and delete again', async () => {
  const { id } = await conn.sobject('Order__c').create({ Total__c: 1 });
  assert.deepEqual(await conn.sobject('Order__c').destroy(id), { id, success: true, errors: [] });
  await refused(conn.sobject('Order__c').destroy(id), 'ENTITY_IS_DELETED', /^entity is deleted$/);
});

await step('collections: create, one bad among good', async () => {
  const results = await conn.sobject('Order__c').create([
    { Number__c: 'k-1', Total__c: 1 },
    { Number__c: 'k-2' },
    { Number__c: 'k-3', Total__c: 3 },
  ]);
  assert.deepEqual(results.map((r) => r.success), [true, false, true]);
  assert.equal(results[1].errors[0].statusCode, 'REQUIRED_FIELD_MISSING');
  assert.deepEqual(results[1].errors[0].fields, ['Total__c']);
});

await step('collections: all or none', async () => {
  const results = await conn.sobject('Order__c').create([{ Number__c: 'n-1', Total__c: 1 }, { Number__c: 'n-2' }], { allOrNone: true });
  assert.deepEqual(results.map((r) => r.errors[0].statusCode), ['ALL_OR_NONE_OPERATION_ROLLED_BACK', 'REQUIRED_FIELD_MISSING']);
  assert.equal(await conn.sobject('Order__c').count({ Number__c: 'n-1' }), 0);
});

await step('collections: update, retrieve, delete', async () => {
  const orders = conn.sobject('Order__c');
  const rows = await orders.find({ Number__c: { $in: ['k-1', 'k-3'] } }, 'Id, Number__c').sort('Number__c');
  const updated = await orders.update(rows.map(({ Id }) => ({ Id, Paid__c: true })));
  assert.ok(updated.every((r, i) => r.success && r.id === rows[i].Id));
  const read = await orders.retrieve([rows[1].Id, 'a00000000000000AAA', rows[0].Id], { fields: ['Number__c', 'Paid__c'] });
  assert.deepEqual(read.map((r) => r && [r.Number__c, r.Paid__c]), [['k-3', true], null, ['k-1', true]]);
  const gone = await orders.destroy(rows.map((r) => r.Id));
  assert.ok(gone.every((r) => r.success));
  assert.equal(await orders.count({ Number__c: { $in: ['k-1', 'k-3'] } }), 0);
});

await step('collections: upsert', async () => {
  const orders = conn.sobject('Order__c');
  const results = await orders.upsert([{ Number__c: 'o-1', Total__c: 12 }, { Number__c: 'o-2', Total__c: 2 }, { Number__c: 'o-3', Nope__c: 1 }], 'Number__c');
  assert.deepEqual(results.map((r) => [r.success, r.created]), [[true, false], [true, true], [false, false]]);
  assert.equal(results[2].errors[0].statusCode, 'INVALID_FIELD');
});

await step('collections: more than 200 are refused, in several calls taken', async () => {
  const many = Array.from({ length: 450 }, (_, i) => ({ Number__c: `m-${String(i).padStart(3, '0')}`, Total__c: i }));
  await refused(conn.sobject('Order__c').create(many), 'EXCEEDED_ID_LIMIT', /record limit reached/);
  const results = await conn.sobject('Order__c').create(many, { allowRecursive: true });
  assert.equal(results.filter((r) => r.success).length, 450);
});

await step('query: parents, order, count, nothing found', async () => {
  const page = await conn.query("SELECT Id, Total__c, Buyer__r.LastName FROM Order__c WHERE Number__c IN ('o-1', 'o-2') ORDER BY Number__c");
  assert.deepEqual([page.totalSize, page.done], [2, true]);
  assert.equal(page.records[0].Buyer__r.LastName, 'Lovelace');
  assert.equal(page.records[1].Buyer__r, null);
  assert.equal((await conn.query('SELECT COUNT() FROM Contact')).totalSize, 1);
  assert.equal(await conn.sobject('Order__c').findOne({ Number__c: "o'1" }), null);
});

await step('query: a page of 200, then the next ones', async () => {
  const soql = "SELECT Number__c FROM Order__c WHERE Number__c >= 'm-' AND Number__c < 'n' ORDER BY Number__c";
  let page = await conn.query(soql, { autoFetch: false, headers: { 'Sforce-Query-Options': 'batchSize=200' } });
  const pages = [page.records.length];
  assert.equal(page.totalSize, 450);
  while (!page.done) {
    assert.match(page.nextRecordsUrl, /\/services\/data\/v66\.0\/query\//);
    page = await conn.queryMore(page.nextRecordsUrl);
    pages.push(page.records.length);
  }
  assert.deepEqual(pages, [200, 200, 50]);
  assert.equal(page.records.at(-1).Number__c, 'm-449');
  const all = await conn.query(soql, { autoFetch: true, maxFetch: 1000, headers: { 'Sforce-Query-Options': 'batchSize=200' } });
  assert.equal(all.records.length, 450);
});

await step('query: the recycle bin, and errors', async () => {
  const all = await conn.query("SELECT Id, IsDeleted FROM Order__c WHERE Number__c = 'k-1'", { scanAll: true });
  assert.deepEqual(all.records.map((r) => r.IsDeleted), [true]);
  await refused(conn.query('SELECT Nope__c FROM Order__c'), 'INVALID_FIELD', /No such column 'Nope__c' on entity 'Order__c'/);
  await refused(conn.query('SELECT FROM Order__c'), 'MALFORMED_QUERY', /./);
});

const load = (operation, input, more) =>
  conn.bulk2.loadAndWaitForResults({ object: 'Order__c', operation, input, pollInterval: 50, pollTimeout: 20000, ...more });

await step('bulk: insert, one bad row among good', async () => {
  const r = await load('insert', [
    { Number__c: 'b-1', Total__c: 1, Paid__c: true, Due__c: '2027-01-31' },
    { Number__c: 'b-2', Total__c: 'much', Paid__c: false, Due__c: null },
    { Number__c: 'b-3', Total__c: 3, Paid__c: false, Due__c: null },
  ]);
  assert.deepEqual(r.successfulResults.sort(byNumber).map((s) => [s.Number__c, s.sf__Created]), [['b-1', 'true'], ['b-3', 'true']]);
  assert.match(r.successfulResults[0].sf__Id, /^\w{18}$/);
  assert.equal(r.failedResults.length, 1);
  assert.equal(r.failedResults[0].Number__c, 'b-2');
  assert.match(r.failedResults[0].sf__Error, /^INVALID_FIELD:Failed to deserialize field at col 1. Due to, 'much' is not a valid value for the type xsd:double:Total__c --$/);
  assert.deepEqual(r.unprocessedRecords, []);
  const row = await conn.sobject('Order__c').findOne({ Number__c: 'b-1' }, 'Paid__c, Due__c');
  assert.deepEqual([row.Paid__c, row.Due__c], [true, '2027-01-31']);
});

await step('bulk: upsert of 1,000 rows and more', async () => {
  const rows = Array.from({ length: 1200 }, (_, i) => ({ Number__c: `m-${String(i).padStart(3, '0')}`, Total__c: i + 0.5, 'Buyer__r.Shop_Id__c': 'c-1' }));
  const r = await load('upsert', rows, { externalIdFieldName: 'Number__c' });
  assert.equal(r.failedResults.length, 0);
  assert.equal(r.successfulResults.filter((s) => s.sf__Created === 'false').length, 450);
  assert.equal(r.successfulResults.filter((s) => s.sf__Created === 'true').length, 750);
  assert.equal(await conn.sobject('Order__c').count({ Buyer__c: ada }), 1201);
});

await step('bulk: update clears with null, delete deletes', async () => {
  const orders = conn.sobject('Order__c');
  const { Id } = await orders.findOne({ Number__c: 'b-1' }, 'Id');
  const updated = await load('update', [{ Id, Due__c: null }]);
  assert.deepEqual(updated.successfulResults.map((s) => [s.sf__Id, s.sf__Created]), [[Id, 'false']]);
  assert.equal((await orders.retrieve(Id)).Due__c, null);
  const deleted = await load('delete', [{ Id }, { Id: 'a00000000000000AAA' }]);
  assert.deepEqual(deleted.successfulResults.map((s) => s.sf__Id), [Id]);
  assert.equal(deleted.failedResults.length, 1);
});

await step('bulk: step by step, with its events', async () => {
  const seen = [];
  const job = conn.bulk2.createJob({ object: 'Order__c', operation: 'insert', lineEnding: 'LF' });
  for (const event of ['open', 'close', 'jobComplete']) job.on(event, () => seen.push(event));
  const info = await job.open();
  assert.match(info.id, /^750\w{15}$/);
  assert.deepEqual([info.state, info.contentType, info.apiVersion], ['Open', 'CSV', 66]);
  await job.uploadData('Number__c,Total__c\ns-1,1\n');
  await job.close();
  assert.equal(job.getInfo().state, 'UploadComplete');
  await job.poll(50, 20000);
  assert.deepEqual(seen, ['open', 'close', 'jobComplete']);
  const end = job.getInfo();
  assert.deepEqual([end.numberRecordsProcessed, end.numberRecordsFailed, end.jobType], [1, 0, 'V2Ingest']);
  assert.equal(await job.getSuccessfulResults(true).then((csv) => csv.split('\n')[0]), '"sf__Id","sf__Created",Number__c,Total__c');
  await refused(job.abort(), 'INVALIDJOBSTATE', /Aborting already Completed Job not allowed/);
  await job.delete();
  await refused(job.check(), 'NOT_FOUND', /./);
});

await step('bulk: an unknown column fails the job, no row is written', async () => {
  const job = conn.bulk2.createJob({ object: 'Order__c', operation: 'insert' });
  await job.open();
  await job.uploadData('Number__c,Total__c,Nope__c\nf-1,1,x\n');
  await job.close();
  await assert.rejects(job.poll(50, 20000), /InvalidBatch : Field name not found : Nope__c/);
  assert.deepEqual([job.getInfo().state, job.getInfo().numberRecordsProcessed], ['Failed', 0]);
  assert.equal((await job.getUnprocessedRecords()).length, 1);
  assert.equal(await conn.sobject('Order__c').count({ Number__c: 'f-1' }), 0);
});

await step('bulk: abort, and jobs that cannot be', async () => {
  const job = conn.bulk2.createJob({ object: 'Order__c', operation: 'insert' });
  await job.open();
  await job.uploadData('Number__c,Total__c\na-1,1\n');
  await job.abort();
  assert.equal((await job.check()).state, 'Aborted');
  assert.equal(await conn.sobject('Order__c').count({ Number__c: 'a-1' }), 0);
  await refused(conn.bulk2.createJob({ object: 'Nothing__c', operation: 'insert' }).open(), 'INVALIDJOB', /InvalidJob : Unable to find object: Nothing__c/);
});

await step('composite: references, and all or none', async () => {
  const base = `/services/data/v${version}/sobjects`;
  const order = (referenceId, body) => ({ method: 'POST', url: `${base}/Order__c`, referenceId, body });
  const compositeRequest = [
    { method: 'GET', url: `${base}/Contact/Shop_Id__c/c-1`, referenceId: 'buyer' },
    order('first', { Number__c: 'comp-1', Total__c: 1, Buyer__c: '@{buyer.Id}' }),
    { method: 'GET', url: `${base}/Order__c/@{first.id}?fields=Buyer__c`, referenceId: 'read' },
  ];
  const { compositeResponse } = await conn.requestPost('/composite', { compositeRequest });
  assert.deepEqual(compositeResponse.map((r) => [r.referenceId, r.httpStatusCode]), [['buyer', 200], ['first', 201], ['read', 200]]);
  assert.equal(compositeResponse[2].body.Buyer__c, ada);
  const whole = { allOrNone: true, compositeRequest: [order('good', { Number__c: 'comp-2', Total__c: 1 }), order('bad', { Number__c: 'comp-3' })] };
  const none = await conn.requestPost('/composite', whole);
  assert.deepEqual(none.compositeResponse.map((r) => r.body[0].errorCode), ['PROCESSING_HALTED', 'REQUIRED_FIELD_MISSING']);
  assert.equal(await conn.sobject('Order__c').count({ Number__c: 'comp-2' }), 0);
});

await step('composite: a batch and a tree', async () => {
  const batchRequests = [
    { method: 'GET', url: `v${version}/sobjects/Order__c/Number__c/comp-1?fields=Total__c` },
    { method: 'PATCH', url: `v${version}/sobjects/Order__c/Number__c/comp-1`, richInput: { Total__c: 2 } },
  ];
  const batch = await conn.requestPost('/composite/batch', { batchRequests });
  assert.equal(batch.hasErrors, false);
  assert.deepEqual(batch.results.map((r) => [r.statusCode, r.result.Total__c ?? r.result.created]), [[200, 1], [200, false]]);
  const record = (referenceId, Number__c) => ({ attributes: { type: 'Order__c', referenceId }, Number__c, Total__c: 1 });
  const tree = await conn.requestPost('/composite/tree/Order__c', { records: [record('a', 'tree-1'), record('b', 'tree-2')] });
  assert.equal(tree.hasErrors, false);
  assert.deepEqual(tree.results.map((r) => r.referenceId), ['a', 'b']);
  await conn.sobject('Order__c').destroy(tree.results.map((r) => r.id));
});

await step('platform event: success with a non-empty errors list', async () => {
  const r = await conn.sobject('Order_Placed__e').create({ Number__c: 'o-1' });
  assert.equal(r.success, true);
  assert.equal(r.errors[0].statusCode, 'OPERATION_ENQUEUED');
});

await step('limits, and what each answer tells of them', async () => {
  const limits = await conn.limits();
  const { used, limit } = conn.limitInfo.apiUsage;
  assert.equal(limits.DailyApiRequests.Max, limit);
  assert.equal(limits.DailyApiRequests.Max - limits.DailyApiRequests.Remaining, used);
});

await step('a session that ended is renewed and the call repeated', async () => {
  const before = conn.accessToken;
  await control('clock', { advance: '3h' });
  assert.equal((await conn.query('SELECT COUNT() FROM Contact')).totalSize, 1);
  assert.notEqual(conn.accessToken, before);
});

await step('a row lock and a maintenance page are told as such', async () => {
  const write = () => conn.sobject('Contact').update({ Id: ada, Title: 'Countess' });
  await control('faults', [{ match: { kind: 'row.update', times: 1 }, do: 'lock' }]);
  await refused(write(), 'UNABLE_TO_LOCK_ROW', /^unable to obtain exclusive access to this record/);
  await control('faults', [{ match: { kind: 'row.update', times: 1 }, do: 'html' }]);
  await refused(write(), 'ERROR_HTTP_503', /./);
  assert.equal((await write()).success, true);
});

await step('the oracle: each of 1,200 rows was created once', async () => {
  const effects = (await control('effects')).trim().split('\n').map((line) => JSON.parse(line));
  const created = effects.filter((e) => e.operation === 'create' && e.fields.Number__c?.startsWith('m-'));
  assert.equal(created.length, 1200);
  assert.equal(new Set(created.map((e) => e.fields.Number__c)).size, 1200);
});

await step('logout ends the session', async () => {
  const token = await requestToken();
  const other = new jsforce.Connection({ oauth2, accessToken: token.access_token, instanceUrl: url, version });
  await other.limits();
  await other.logout();
  const late = new jsforce.Connection({ accessToken: token.access_token, instanceUrl: url, version });
  await refused(late.limits(), 'INVALID_SESSION_ID', /^Session expired or invalid$/);
});

console.log(`all ${done} steps passed (node ${process.version})`);
