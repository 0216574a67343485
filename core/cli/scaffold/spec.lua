--- What NAME promises; run by `maru test NAME`.
--- `test` is a server of its own, with an empty database and a clock that stands still.
describe("NAME", function()
--@if route
  it("keeps a line and shows it", function()
    assert.equal(201, test:post("/api/NAME", { text = "hello" }).status)
    local answer = test:get("/api/NAME?limit=1")
    assert.equal(200, answer.status)
    assert.equal("hello", answer.json.lines[1].text)
  end)

  it("refuses a line without text, and says which field is wrong", function()
    local answer = test:post("/api/NAME", { text = "" })
    assert.equal(422, answer.status)
    assert.equal("body.text", answer.json.errors[1].field)
  end)

  it("tells everybody about a new line", function()
    test:post("/api/NAME", { text = "news" })
    assert.equal("news", test:published("NAME.lines")[1].text)
  end)

--@end
--@if job
  it("forgets old lines", function()
--@if route
    test:post("/api/NAME", { text = "old" })
--@end
--@if !route
    assert.equal(1, test:job("add", { text = "old" }).id)
--@end
    test.clock:advance("31d") -- the schedule fires every day
    local left = test:app().store:one("select count(*) as n from NAME_lines")
    assert.equal(0, left.n)
  end)

--@end
--@if socket
  it("answers every message with its time", function()
    local socket = test:socket("/ws/NAME")
    assert.equal("NAME", socket:receive_json().hello)
    socket:send("hello")
    local answer = socket:receive_json()
    assert.equal("hello", answer.text)
    assert.is_number(answer.at)
    socket:close()
  end)

--@end
--@if page
  it("has a page in both languages", function()
    local page = test:get("/api/pages").json[1]
    assert.equal("/NAME", page.path)
    assert.truthy(page.title.ko and page.title.en)
    assert.equal(200, test:get(page.module).status)
  end)

--@end
end)
