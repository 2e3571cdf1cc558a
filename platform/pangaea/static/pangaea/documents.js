"use strict";

const place = document.getElementById("swagger-ui");

SwaggerUIBundle({
  domNode: place,
  url: place.dataset.schema,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  displayOperationId: true,
  // An access token stays in the page's memory: what is in localStorage outlives it, and every script of the host reads it.
  persistAuthorization: false,
  // Otherwise the document's address goes to validator.swagger.io.
  validatorUrl: null,
});
