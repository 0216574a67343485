/** What the data explorer says, in both languages. */
export const WORDS = {
  en: {
    source: "Ask", series: "Time series", tables: "Events and tables", columns: "Columns", sql: "SQL", run: "Run", stop: "Stop",
    running: "Running…", keys: "Ctrl+Enter runs. Tab indents; Esc, then Tab, leaves the field.",
    limit: "Rows", timeout: "Seconds", examples: "Examples", saved: "Saved", save: "Save", save_as: "Name of this question",
    remove: "Delete", none_saved: "Nothing saved yet.", sure: "Delete “{name}”?", saved_now: "Saved as “{name}”.",
    rows: "{n} rows in {ms} ms", row: "1 row in {ms} ms", more: "There were more: only the first {n} are shown.", table: "Table", chart: "Chart",
    csv: "CSV", parquet: "Parquet", file_note: "Files have up to 100,000 rows. In CSV, text that a spreadsheet would compute begins with '.",
    page: "{from}–{to} of {n}", before: "Previous", next: "Next", empty: "No rows.", nothing_to_draw: "A chart needs a column of numbers, and times or names to draw it by.",
    kind: "Draw", line: "Lines", bar: "Bars", x: "x", y: "y", by: "Lines by", one: "one line", left: "{n} more are not drawn.",
    wrong: "The SQL was not answered", goto: "Show the place", locked: "For operators only",
    locked_text: "This page reads everything StreamPulse keeps. Open the dashboard by the link that `maru admin-url` prints.",
    note_series: "Each series is a table. “at” is a timestamp and stands in quotes.",
    note_tables: "Instants are seconds since 1970. What is asked here is the store, in a SELECT that changes nothing.",
    zone: "Times by your clock ({zone}). In SQL and in files they are UTC.",
    first: "Choose an example or write a SELECT.", loading: "Loading…",
    "e.hours": "Viewers by hour and platform", "e.top": "Busiest channels of the last day", "e.gaps": "Collections by hour",
    "e.surges": "Newest surges", "e.platforms": "Surges by platform", "e.categories": "Categories live now",
  },
  ko: {
    source: "대상", series: "시계열", tables: "이벤트와 표", columns: "열", sql: "SQL", run: "실행", stop: "중지",
    running: "실행 중…", keys: "Ctrl+Enter로 실행합니다. Tab은 들여쓰기, Esc를 누른 뒤 Tab은 다음 칸으로 갑니다.",
    limit: "행", timeout: "초", examples: "예시", saved: "저장한 질의", save: "저장", save_as: "이 질의의 이름",
    remove: "삭제", none_saved: "아직 저장한 것이 없습니다.", sure: "“{name}”을(를) 삭제할까요?", saved_now: "“{name}”(으)로 저장했습니다.",
    rows: "{n}행, {ms} ms", row: "1행, {ms} ms", more: "더 있습니다. 처음 {n}행만 보입니다.", table: "표", chart: "차트",
    csv: "CSV", parquet: "Parquet", file_note: "파일에는 최대 10만 행이 담깁니다. CSV에서 스프레드시트가 계산할 글자는 ' 로 시작합니다.",
    page: "{n}개 중 {from}–{to}", before: "이전", next: "다음", empty: "행이 없습니다.", nothing_to_draw: "차트에는 숫자 열과, 그것을 나눌 시각이나 이름 열이 필요합니다.",
    kind: "모양", line: "선", bar: "막대", x: "x", y: "y", by: "선 나누기", one: "한 줄", left: "{n}개는 그리지 않았습니다.",
    wrong: "SQL에 답하지 못했습니다", goto: "위치 보기", locked: "운영자만 쓸 수 있습니다",
    locked_text: "이 화면은 StreamPulse가 가진 모든 것을 읽습니다. `maru admin-url`이 알려 주는 주소로 대시보드를 여세요.",
    note_series: "시계열 하나가 표 하나입니다. “at”은 시각이며 따옴표로 감쌉니다.",
    note_tables: "시각은 1970년부터의 초입니다. 저장소에 묻는 SELECT이며 아무것도 바꾸지 않습니다.",
    zone: "시각은 보는 사람의 시간대({zone})로 표시합니다. SQL과 파일에서는 UTC입니다.",
    first: "예시를 고르거나 SELECT를 쓰세요.", loading: "불러오는 중…",
    "e.hours": "시간·플랫폼별 시청자", "e.top": "하루 동안 가장 붐빈 채널", "e.gaps": "시간별 수집 수",
    "e.surges": "최근 급증", "e.platforms": "플랫폼별 급증", "e.categories": "지금 방송 중인 카테고리",
  },
};

export const EXAMPLES = [
  { key: "e.hours", source: "series", sql: `select date_trunc('hour', "at") as hour, platform, sum(viewers) / count(distinct "at") as viewers
from viewers
where "at" > now() - interval '1 day'
group by 1, 2
order by 1, 2` },
  { key: "e.top", source: "series", sql: `select platform, channel_id, max(viewers) as peak, avg(viewers) as mean, count(*) as points
from viewers
where "at" > now() - interval '1 day'
group by 1, 2
order by peak desc
limit 20` },
  { key: "e.gaps", source: "series", sql: `select date_trunc('hour', "at") as hour, count(distinct "at") as collections, count(*) as points
from viewers
group by 1
order by 1` },
  { key: "e.surges", source: "tables", sql: `select detected_at, channel_name, category, viewers, ratio, status
from events
order by id desc
limit 50` },
  { key: "e.platforms", source: "tables", sql: `select platform, count(*) as surges, max(ratio) as steepest
from events
group by platform
order by surges desc` },
  { key: "e.categories", source: "tables", sql: `select category, count(*) as broadcasts, sum(viewers) as viewers
from broadcasts
where ended_at = 0
group by category
order by viewers desc
limit 20` },
];
