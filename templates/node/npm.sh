# Puts npm beside the distribution's node. The distribution's own package of it brings hundreds of others along.
set -eu
version=10.9.9
sum=d60fba8cb42f688b81e33c2f1cbef2ad7b977166700ec0ad057f1b6d60ea6ef2524abf673e20c35931cd8305d1dbb8887134d6eefdc0e7b8435bd458bf65b862
node -e '
const registry = (process.env.npm_config_registry || "https://registry.npmjs.org").replace(/\/+$/, "");
const url = registry + "/npm/-/npm-" + process.argv[1] + ".tgz";
fetch(url).then(async (answer) => {
  if (!answer.ok) throw new Error(url + " answered " + answer.status);
  require("fs").writeFileSync("/tmp/npm.tgz", Buffer.from(await answer.arrayBuffer()));
}).catch((error) => { console.error(String(error.cause || error)); process.exit(1); });
' "$version"
echo "$sum  /tmp/npm.tgz" | sha512sum --check --quiet
mkdir -p /usr/local/lib/node_modules/npm
tar -xzf /tmp/npm.tgz -C /usr/local/lib/node_modules/npm --strip-components=1 --no-same-owner
rm -rf /tmp/npm.tgz /usr/local/lib/node_modules/npm/docs /usr/local/lib/node_modules/npm/man
ln -sf ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
ln -sf ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx
