const arch = require('cpu-features')().arch;
require('http').createServer((request, answer) => answer.end(`it works on ${arch}\n`)).listen(process.env.PORT);
