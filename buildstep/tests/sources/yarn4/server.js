const built = require('fs').readFileSync('built', 'utf8');
let dev = 'gone';
try { require('is-odd'); dev = 'there'; } catch {}
require('polka')().get('/', (request, answer) => answer.end(`it works, built ${built}, development dependencies ${dev}\n`)).listen(process.env.PORT);
