// A web app with one small dependency. It listens on $PORT, logs requests, and ends when asked to.
const polka = require('polka');

const port = Number(process.env.PORT || 5000);
const app = polka()
  .use((request, answer, next) => {
    answer.on('finish', () => console.log(`${request.method} ${request.url} ${answer.statusCode}`));
    next();
  })
  .get('/', (request, answer) => answer.end(`Hello from ${process.env.SLIPWAY_APP || 'Node.js'}!\n`))
  .get('/healthz', (request, answer) => answer.end('ok\n'))
  .listen(port, () => console.log(`listening on ${port}`));

process.on('SIGTERM', () => app.server.close(() => process.exit(0)));
