const place = document.getElementById("origin");
if (place) place.textContent = location.origin;
